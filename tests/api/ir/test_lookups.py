"""Lookups in another table are type-checked against the tenant's schemas when an IR is saved."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from headrace.api.app import BASE_PATH
from tests.api.conftest import IR, Facade, created, error_of

pytestmark = pytest.mark.postgres

CUSTOMERS = {
    "name": "customers",
    "displayName": "Customers",
    "fields": [{"name": "code", "dataType": "varchar", "length": 9}, {"name": "limit", "dataType": "decimal"}],
}


def looking_up(**op: Any) -> dict[str, Any]:
    """The IR of a pipeline with a lookup, an expression over what it finds, and an `exists` rule."""
    ir = copy.deepcopy(IR)
    ir["nodes"][0]["fields"] = [{"name": "amount", "dataType": "integer"}, {"name": "who", "dataType": "text"}]
    lookup = {
        "type": "lookup_join",
        "table": "public.ds_customers",
        "on": [{"field": "who", "key": "code"}],
        "select": ["limit"],
    }
    within = {"type": "expression", "field": "within", "expression": 'amount <= "limit"'}
    ir["nodes"][1:1] = [
        {"id": "clean", "kind": "transform", "input": "src", "ops": [lookup | op, within]},
        {
            "id": "check",
            "kind": "validate",
            "input": "clean",
            "rowLevel": [{"id": "known", "field": "who", "rule": "exists:ds_customers.code"}],
        },
    ]
    ir["nodes"][-1]["input"] = "check"
    return ir


@pytest.fixture
def path(facade: Facade) -> str:
    return f"{BASE_PATH}/pipelines/{facade.pipeline()['id']}/ir"


def details(facade: Facade, path: str, ir: dict[str, Any]) -> list[tuple[str, str, str]]:
    error = error_of(facade.editor.post(path, json={"ir": ir}), 400)
    return [(each["path"], each["code"], each["hint"]) for each in error["details"]]


def test_what_a_lookup_finds_has_the_type_of_the_schemas_field(facade: Facade, path: str) -> None:
    created(facade.editor, f"{BASE_PATH}/schemas", CUSTOMERS)
    created(facade.editor, path, {"ir": looking_up()})
    answer = facade.viewer.post(f"{BASE_PATH}/ir/validate", json=looking_up()).json()
    assert (answer["valid"], answer["issues"]) == (True, [])
    types = {field["name"]: field["dataType"] for field in answer["nodes"]["clean"]["schema"]}
    assert types == {"amount": "integer", "who": "text", "limit": "decimal", "within": "boolean"}


def test_a_table_or_column_that_is_not_there_is_reported_with_the_nearest(facade: Facade, path: str) -> None:
    created(facade.editor, f"{BASE_PATH}/schemas", CUSTOMERS)
    assert details(facade, path, looking_up(table="ds_customer"))[0] == (
        "nodes[1].ops[0].table",
        "unknown_table",
        "did you mean 'public.ds_customers'?",
    )
    problem = ("nodes[1].ops[0].select[0]", "unknown_column", "did you mean 'limit'?")
    assert details(facade, path, looking_up(select=["limt"]))[0] == problem


def test_the_table_of_another_tenant_is_not_there(facade: Facade, path: str) -> None:
    created(facade.foreign, f"{BASE_PATH}/schemas", CUSTOMERS)
    found = details(facade, path, looking_up())
    assert [(where, code) for where, code, _ in found][:1] == [("nodes[1].ops[0].table", "unknown_table")]
    assert "unknown_table" in [code for where, code, _ in found if where == "nodes[2].rowLevel[0].rule"]


@pytest.mark.parametrize("keeps", ["clean", "check"])
def test_a_schema_that_a_pipeline_looks_rows_up_in_cannot_be_deleted(facade: Facade, path: str, keeps: str) -> None:
    schema = created(facade.editor, f"{BASE_PATH}/schemas", CUSTOMERS)
    ir = looking_up()
    ir["nodes"] = [node for node in ir["nodes"] if node["id"] in ("src", keeps, "tgt")]
    ir["nodes"][1]["input"], ir["nodes"][2]["input"] = "src", keeps
    created(facade.editor, path, {"ir": ir})
    refused = error_of(facade.editor.delete(f"{BASE_PATH}/schemas?id={schema['id']}&confirm=true"), 409)
    assert "is used by the pipeline 'orders'" in refused["message"]
