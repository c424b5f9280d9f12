"""The JSON Schemas for editors: public, cached; `$schema` in a document is not stored."""

from __future__ import annotations

import jsonschema
import pytest

from headrace.api.app import BASE_PATH
from headrace.api.ir.json_schemas import MEDIA_TYPE
from tests.api.conftest import IR, Facade

pytestmark = pytest.mark.postgres

SCHEMA_URL = "https://headrace.example.com/api/v1/ir/schema"


@pytest.mark.parametrize("path", ["ir/schema", "ir/schema/files", "ir/schema/connector"])
def test_an_editor_gets_the_schema_without_a_key_and_once(facade: Facade, path: str) -> None:
    first = facade.anonymous.get(f"{BASE_PATH}/{path}")
    assert (first.status_code, first.headers["Content-Type"]) == (200, MEDIA_TYPE)
    assert first.headers["Cache-Control"] == "public, max-age=3600"
    jsonschema.Draft202012Validator.check_schema(first.json())
    again = facade.anonymous.get(
        f"{BASE_PATH}/{path}", headers={"If-None-Match": f'"other", W/{first.headers["ETag"]}'}
    )
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert facade.anonymous.get(f"{BASE_PATH}/{path}", headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_document_that_names_its_schema_is_the_same_document(facade: Facade) -> None:
    named = {"$schema": SCHEMA_URL, **IR}
    pipeline = facade.pipeline(ir=named)
    path = f"{BASE_PATH}/pipelines/{pipeline['id']}/ir"
    assert facade.viewer.get(path).json()["ir"] == IR
    for body in (named, IR, {"ir": named}):
        assert facade.editor.post(path, json=body).json()["version"] == 1
    assert facade.editor.post(f"{BASE_PATH}/ir/validate", json=named).json()["issues"] == []
    wrong = facade.editor.post(f"{BASE_PATH}/ir/validate", json={**IR, "$schema": 3}).json()
    assert [issue["path"] for issue in wrong["issues"]] == ["$schema"]
