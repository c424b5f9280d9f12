"""The JSON Schema of files accepts the same files as `headrace apply`, and a file may refer to it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from headrace.deployments.cli.documents.json_schema import files_schema
from headrace.deployments.cli.documents.load import DocumentsInvalid, load_documents
from headrace.deployments.cli.documents.yaml_format import read_yaml, write_yaml

GUIDE = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
DOCUMENTS: list[dict[str, Any]] = [
    document for document, _ in read_yaml(next(iter(re.findall(r"```yaml\n(kind: .*?)```", GUIDE, re.DOTALL))))
]
schema = jsonschema.Draft202012Validator(files_schema())


def applied(tmp_path: Path, *documents: dict[str, Any]) -> list[Any]:
    (tmp_path / "all.yaml").write_text("---\n".join(map(write_yaml, documents)))
    return load_documents([tmp_path], {"SHOP_PASSWORD": "x"})


def test_what_the_guide_shows_passes_and_loads(tmp_path: Path) -> None:
    assert {each["kind"] for each in DOCUMENTS} == {"connector", "schema", "pipeline"}
    for document in (*DOCUMENTS, DOCUMENTS):
        schema.validate(document)
    assert len(applied(tmp_path, *DOCUMENTS)) == len(DOCUMENTS)


def test_every_document_may_name_a_schema_and_is_the_same_then(tmp_path: Path) -> None:
    named = [{"$schema": "https://headrace.example.com/api/v1/ir/schema/files", **each} for each in DOCUMENTS]
    for document in named:
        schema.validate(document)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    plain, others = applied(tmp_path / "a", *DOCUMENTS), applied(tmp_path / "b", *named)
    assert [(each.shape, each.ir) for each in plain] == [(each.shape, each.ir) for each in others]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("connector", {"type": "carrier_pigeon"}),
        ("connector", {"colour": "blue"}),
        ("schema", {"fields": [{"name": "id", "dataType": "number"}]}),
        ("pipeline", {"colour": "blue"}),
        ("pipeline", {"nodes": []}),
        ("pipeline", {"connector": ""}),
    ],
)
def test_what_cannot_be_applied_does_not_pass(kind: str, change: dict[str, Any], tmp_path: Path) -> None:
    document = next(each for each in DOCUMENTS if each["kind"] == kind) | change
    assert not schema.is_valid(document)
    with pytest.raises(DocumentsInvalid):
        applied(tmp_path, document)
