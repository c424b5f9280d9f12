"""Sources that use another connector than the pipeline's."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from tests.api.conftest import IR, Facade, created, error_of

pytestmark = pytest.mark.postgres


@pytest.fixture
def other(facade: Facade) -> dict[str, Any]:
    return created(facade.editor, "/api/v1/connectors", {"name": "inbox", "type": "local_fs"})


def reading_through(connection: str) -> dict[str, Any]:
    ir = deepcopy(IR)
    ir["nodes"][0]["connection"] = connection
    return ir


def save(facade: Facade, ir: dict[str, Any]) -> Any:
    pipeline = facade.pipeline()
    return facade.editor.post(f"/api/v1/pipelines/{pipeline['id']}/ir", json={"ir": ir})


@pytest.mark.parametrize("how", ["id", "name"])
def test_it_is_named_by_id_or_name(facade: Facade, other: dict[str, Any], how: str) -> None:
    assert save(facade, reading_through(other[how])).status_code == 201


def test_one_that_does_not_exist_is_reported_with_its_place(facade: Facade, other: dict[str, Any]) -> None:
    (problem,) = error_of(save(facade, reading_through("inboxx")), 400)["details"]
    assert (problem["path"], problem["code"]) == ("nodes[0].connection", "unknown_connection")
    assert "inbox" in problem["hint"]


def test_another_tenants_does_not_exist(facade: Facade) -> None:
    foreign = created(facade.foreign, "/api/v1/connectors", {"name": "theirs", "type": "local_fs"})
    path = f"/api/v1/pipelines/{facade.pipeline()['id']}/ir"
    for named in (foreign["id"], "theirs"):
        (problem,) = error_of(facade.editor.post(path, json={"ir": reading_through(named)}), 400)["details"]
        assert problem["code"] == "unknown_connection"


def test_a_connector_that_a_live_document_names_cannot_be_deleted(facade: Facade, other: dict[str, Any]) -> None:
    pipeline = facade.pipeline()
    path = f"/api/v1/pipelines/{pipeline['id']}/ir"
    assert facade.editor.post(path, json={"ir": reading_through("inbox")}).status_code == 201
    refused = facade.editor.delete(f"/api/v1/connectors?id={other['id']}")
    assert "is used by the pipeline" in error_of(refused, 409)["message"]
