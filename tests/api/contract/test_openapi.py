"""The OpenAPI document is complete: ids, security, every status, and an example of every body."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from fastapi.testclient import TestClient

from headrace.api.app import BASE_PATH
from tests.api.contract.openapi_document import application, document

DOCUMENT = document()
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
OPERATIONS = [
    (method.upper(), path, operation) for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
]
GUARDED = [each for each in OPERATIONS if each[1].startswith(BASE_PATH)]


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return SCHEMAS[name] if name else schema


def choices(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The alternatives of a schema, without null."""
    return [each for each in (resolved(one) for one in schema.get("anyOf", [schema])) if each.get("type") != "null"]


def bodies() -> Iterator[tuple[str, dict[str, Any]]]:
    """The JSON request and response bodies, by operation."""
    for method, path, operation in GUARDED:
        contents = {"request": operation.get("requestBody", {}).get("content", {})}
        contents |= {status: each.get("content", {}) for status, each in operation["responses"].items() if status < "3"}
        for name, content in contents.items():
            if "application/json" in content:
                yield f"{method} {path} {name}", content["application/json"]


def examples(content: dict[str, Any]) -> list[Any]:
    """Examples of a body: its own, its schema's, or combined from those of its parts."""
    found = [content["example"]] if "example" in content else []
    for schema in choices(content.get("schema", {})):
        found += schema.get("examples", [])
        if not found and schema.get("type") == "array":
            found += [[example] for example in resolved(schema["items"]).get("examples", [])]
        if not found and {"data", "pagination"} <= set(schema.get("properties", ())):
            found += resolved(schema["properties"]["data"]["items"]).get("examples", [])
    return found


def test_it_is_served() -> None:
    assert TestClient(application()).get("/openapi.json").json() == DOCUMENT


def test_it_says_what_it_is() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    assert DOCUMENT["info"]["license"]["identifier"] == "Apache-2.0"
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(ids)) == len(ids)
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    assert {tag for _, _, operation in OPERATIONS for tag in operation["tags"]} == tags
    assert all(operation["summary"] and operation["description"] for _, _, operation in OPERATIONS)


def test_every_operation_of_the_api_needs_a_key_and_says_the_roles() -> None:
    assert set(DOCUMENT["components"]["securitySchemes"]) == {"ApiKey", "Bearer"}
    for _, path, operation in OPERATIONS:
        if path.startswith(BASE_PATH):
            assert operation["security"] == [{"ApiKey": []}, {"Bearer": []}]
            assert operation["x-roles"]
        else:
            assert "security" not in operation


def test_every_operation_says_how_it_may_fail() -> None:
    for method, path, operation in GUARDED:
        statuses = set(operation["responses"])
        assert statuses >= {"401", "403", "429", "500", "503"}, path
        assert ("413" in statuses) == ("requestBody" in operation), path
        assert ("409" in statuses) == (method != "GET" and "viewer" not in operation["x-roles"]), path
        for status, response in operation["responses"].items():
            assert response["description"]
            assert "X-Request-ID" in response["headers"]
            if status >= "4":
                body = response["content"]["application/json"]
                assert body["schema"] == {"$ref": "#/components/schemas/ErrorEnvelope"}
                jsonschema.validate(body["example"], SCHEMAS["ErrorEnvelope"] | {"components": DOCUMENT["components"]})
        assert "Retry-After" in operation["responses"]["503"]["headers"]


@pytest.mark.parametrize(("name", "content"), list(bodies()), ids=lambda value: value if isinstance(value, str) else "")
def test_every_body_has_an_example(name: str, content: dict[str, Any]) -> None:
    any_json = not {"$ref", "type", "anyOf"} & set(content["schema"])
    assert any_json or examples(content), name


@pytest.mark.parametrize("name", [name for name, schema in SCHEMAS.items() if "examples" in schema])
def test_examples_are_valid(name: str) -> None:
    validator = jsonschema.Draft202012Validator(SCHEMAS[name] | {"components": DOCUMENT["components"]})
    problems = [error for example in SCHEMAS[name]["examples"] for error in validator.iter_errors(example)]
    assert [(error.json_path, error.message) for error in problems] == []


def described() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The schemas, their properties, the parameters and the response headers: where, name, and what it has."""
    for name, schema in SCHEMAS.items():
        yield name, name, schema
        yield from ((name, each, found) for each, found in schema.get("properties", {}).items())
    for method, path, operation in OPERATIONS:
        yield from ((f"{method} {path}", each["name"], each) for each in operation.get("parameters", ()))
        for response in operation["responses"].values():
            found = response.get("headers", {}).items()
            yield from ((f"{method} {path}", each, header) for each, header in found if "$ref" not in header)


def test_every_schema_property_and_parameter_has_a_description_that_says_more_than_its_name() -> None:
    found = list(described())
    assert len(found) > 1000
    assert [(where, name) for where, name, each in found if not each.get("description", "").strip()] == []
    words = {(where, name): re.sub(r"[^a-z]+", "", each["description"].lower()) for where, name, each in found}
    bare = {key: re.sub(r"[^a-z]+", "", key[1].lower()) for key in words}
    assert [key for key, text in words.items() if text in (bare[key], f"the{bare[key]}", f"its{bare[key]}")] == []


def test_schemas_have_names_of_their_own() -> None:
    assert [name for name in SCHEMAS if not re.fullmatch(r"[A-Z][A-Za-z]+", name)] == []
    assert [name for name, schema in SCHEMAS.items() if schema.get("title", name) != name] == []
    pages = {name for name, schema in SCHEMAS.items() if {"data", "pagination"} <= set(schema.get("properties", ()))}
    assert pages >= {"ConnectorPage", "PipelinePage", "ReplicationPage", "SchemaPage", "StreamPage", "KeyPage"}


def test_titles_are_words() -> None:
    found = [(name, each) for schema in SCHEMAS.values() for name, each in schema.get("properties", {}).items()]
    found += [(each["name"], each["schema"]) for *_, one in OPERATIONS for each in one.get("parameters", ())]
    titles = {name: each["title"] for name, each in found if "title" in each}
    assert {titles["createdAt"], titles["pipeline_id"], titles["irVersion"]} == {
        "Created at",
        "Pipeline ID",
        "IR version",
    }
    same = {name: each for name, each in titles.items() if each.replace(" ", "").lower() == name.lower()}
    assert len(same) > 200
    assert [name for name, each in same.items() if len(each.split()) != 1 + len(re.findall("[A-Z]", name))] == []


OPEN = {"SchemaItem.status"}
"""Texts whose description says that later releases may add values."""


def test_fixed_sets_of_values_are_enums() -> None:
    fixed = {"status", "lastRunStatus", "loadStrategy", "loadMode", "phase", "change", "role", "dataType", "onFail"}
    found = {
        f"{name}.{each}": choices(schema)
        for name, properties in ((name, each.get("properties", {})) for name, each in SCHEMAS.items())
        for each, schema in properties.items()
        if each in fixed and schema.get("type") != "integer"
    }
    assert len(found) > 30
    assert {name for name, texts in found.items() if not all("enum" in each for each in texts)} == OPEN
    statuses = {"pending", "running", "completed", "completed_with_errors", "failed"}
    assert set(found["RunItem.status"][0]["enum"]) == set(found["PipelineItem.lastRunStatus"][0]["enum"]) == statuses


def test_texts_of_queries_and_bodies_say_that_they_hold_no_nul() -> None:
    query = [each for *_, operation in GUARDED for each in operation.get("parameters", ()) if each["in"] == "query"]
    texts = [one for each in query for one in choices(each["schema"]) if one.get("type") == "string"]
    texts += [SCHEMAS["CreatePipeline"]["properties"]["name"], SCHEMAS["SaveIr"]["properties"]["comment"]["anyOf"][0]]
    assert len(texts) > 10
    for text in texts:
        assert {"enum", "format"} & set(text) or not re.search(text["pattern"], "a\x00"), text
