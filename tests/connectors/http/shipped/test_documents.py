"""The documents themselves: valid, complete, and read the same by everybody."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from headrace.connectors.http.definition.build import build, document_problems
from headrace.connectors.http.definition.model import json_schema
from headrace.connectors.http.settings import settings_of
from headrace.connectors.http.shipped.documents import document_of, shipped_documents
from headrace.deployments.cli.documents.yaml_format import read_yaml
from headrace.ir.yaml_connectors import Document

DOCUMENTS = shipped_documents()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_valid_and_says_what_it_is(name: str) -> None:
    text = files("headrace.connectors.http.shipped").joinpath(f"{name}.yaml").read_text()
    [(document, _)] = read_yaml(text)
    assert document == DOCUMENTS[name]  # with the rules for documents of users
    assert document["id"] == name
    assert document_problems(document) == []
    Draft202012Validator(json_schema()).validate(document)
    assert "_" not in "".join(document.get("variables", ()))
    assert document["description"].endswith(".")
    assert all(each["description"].endswith(".") for each in document["endpoints"])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_stream_has_settings_that_a_source_can_be_opened_with(name: str) -> None:
    variables = {each: "x" for each, given in DOCUMENTS[name].get("variables", {}).items() if "default" not in given}
    variables |= {each: "https://x.example" for each in variables if each in ("instanceUrl", "restEndpoint")}
    made = build(DOCUMENTS[name], variables)
    assert made.problems == []
    for stream, settings in made.config["endpoints"].items():
        arguments: dict[str, Any] = {each: "x" for each, value in settings.get("arguments", {}).items() if not value}
        opened = settings_of({"endpoint": stream, "arguments": arguments}, made.config["endpoints"])
        assert {each.partition(".")[0] for each in opened.key} <= {*opened.fields, *(() if opened.fields else ["Id"])}
        if opened.cursor is not None and opened.fields:
            assert opened.cursor.field.partition(".")[0] in opened.fields


def test_a_tenants_own_document_comes_first_and_a_version_is_the_tenants() -> None:
    own = {"id": "stripe"}
    assert document_of(Document("stripe", None), {"stripe": own}) is own
    assert document_of(Document("stripe", None), {}) is DOCUMENTS["stripe"]
    assert document_of(Document("stripe", 3), {}) is None
