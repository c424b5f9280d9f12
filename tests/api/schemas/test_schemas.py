"""Schemas: fields of responses, their tables, and refused deletions."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from headrace.api.app import BASE_PATH
from tests.api.conftest import IR, SCHEMA, Facade, created, error_of

pytestmark = pytest.mark.postgres

SCHEMAS = f"{BASE_PATH}/schemas"
SCHEMA_ITEM = [
    *("id", "tenantId", "name", "displayName", "description", "tableName", "entityType", "schemaType", "status"),
    *("linkedSchemaId", "joinMapping", "summaryColumns", "autoEnrich", "fields", "createdAt", "updatedAt"),
]


def tables(facade: Facade) -> list[str]:
    with facade.engine.connect() as connection:
        return list(connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")))


class TestCreate:
    def test_it_comes_back_in_the_documented_shape_and_is_a_table(self, facade: Facade) -> None:
        fields = [
            {"name": "email", "dataType": "varchar", "length": 255, "isNullable": False, "isUnique": True},
            {"name": "score", "dataType": "decimal", "precision": 10, "scale": 2, "defaultValue": 1.5},
        ]
        made = created(facade.editor, SCHEMAS, {"name": "Customers!", "displayName": "Customers", "fields": fields})
        assert made == facade.viewer.get(f"{SCHEMAS}/{made['id']}").json()
        assert (made["name"], made["tableName"], made["tenantId"]) == ("customers", "ds_customers", "default")
        first = made["fields"][0]
        assert first.pop("id").startswith("field_")
        assert first == {
            "schemaId": made["id"],
            "name": "email",
            "displayName": "email",
            "dataType": "varchar",
            "length": 255,
            "precision": None,
            "scale": None,
            "isNullable": False,
            "isPrimaryKey": False,
            "isUnique": True,
            "isPredictor": False,
            "defaultValue": None,
            "description": "",
            "ordinal": 1,
        }
        assert list(made) == SCHEMA_ITEM
        with facade.engine.begin() as connection:
            connection.execute(text("INSERT INTO public.ds_customers (email) VALUES ('a@b.c')"))
            assert connection.execute(text("SELECT score FROM public.ds_customers")).scalar() is not None

    def test_what_cannot_be_a_table_is_400_with_every_problem_and_leaves_nothing(self, facade: Facade) -> None:
        body = {"name": "t", "displayName": "T", "fields": [{"name": "a b"}, {"name": "c", "dataType": "intger"}]}
        error = error_of(facade.editor.post(SCHEMAS, json=body), 400)
        found = [(detail["path"], detail["hint"]) for detail in error["details"]]
        assert found[0][0] == "fields[0].name"
        assert found[1] == ("fields[1].dataType", "did you mean 'integer'?")
        assert facade.viewer.get(SCHEMAS).json()["data"] == []

    def test_a_default_the_type_refuses_is_400(self, facade: Facade) -> None:
        fields = [{"name": "n", "dataType": "integer", "defaultValue": "many"}]
        response = facade.editor.post(SCHEMAS, json={"name": "t", "displayName": "T", "fields": fields})
        assert "invalid input syntax" in error_of(response, 400)["message"]

    def test_a_taken_name_is_409(self, facade: Facade) -> None:
        created(facade.editor, SCHEMAS, SCHEMA)
        error_of(facade.editor.post(SCHEMAS, json=SCHEMA), 409)

    def test_two_tenants_may_have_a_schema_of_the_same_name(self, facade: Facade) -> None:
        mine, theirs = created(facade.editor, SCHEMAS, SCHEMA), created(facade.foreign, SCHEMAS, SCHEMA)
        assert mine["name"] == theirs["name"]
        assert {mine["tableName"], theirs["tableName"]} <= set(tables(facade))
        assert [each["id"] for each in facade.viewer.get(SCHEMAS).json()["data"]] == [mine["id"]]

    def test_a_link_goes_to_a_customer_schema_of_the_tenant(self, facade: Facade) -> None:
        events = created(facade.editor, SCHEMAS, SCHEMA | {"name": "events", "schemaType": "event"})
        foreign = created(facade.foreign, SCHEMAS, SCHEMA)
        for linked, code in (
            ("schema_none", "unknown_schema"),
            (foreign["id"], "unknown_schema"),
            (events["id"], "wrong_schema_type"),
        ):
            response = facade.editor.post(SCHEMAS, json=SCHEMA | {"name": "x", "linkedSchemaId": linked})
            [detail] = error_of(response, 400)["details"]
            assert (detail["path"], detail["code"]) == ("linkedSchemaId", code)


class TestUpdate:
    def test_what_is_left_out_stays(self, facade: Facade) -> None:
        customers = created(facade.editor, SCHEMAS, SCHEMA | {"name": "customers"})
        made = created(facade.editor, SCHEMAS, SCHEMA | {"description": "d", "schemaType": "event"})
        changes = {
            "displayName": "All orders",
            "description": None,
            "linkedSchemaId": customers["id"],
            "joinMapping": {"customer": "id"},
            "autoEnrich": True,
        }
        response = facade.editor.put(SCHEMAS, json={"id": made["id"], "name": "Orders", **changes})
        assert response.status_code == 200, response.text
        changed = response.json()
        assert changed == facade.viewer.get(f"{SCHEMAS}/{made['id']}").json()
        assert changed.pop("updatedAt") > made.pop("updatedAt")
        assert changed == made | changes

    @pytest.mark.parametrize(
        ("change", "status", "path"),
        [
            ({"name": "other"}, 400, "name"),
            ({"displayName": None}, 400, "displayName"),
            ({"autoEnrich": "perhaps"}, 400, "autoEnrich"),
            ({"fields": []}, 400, "fields"),
            ({"linkedSchemaId": "schema_none"}, 400, "linkedSchemaId"),
            ({"linkedSchemaId": "itself"}, 400, "linkedSchemaId"),
            ({"id": "schema_none"}, 404, None),
        ],
    )
    def test_what_cannot_be_changed_is_refused(
        self, facade: Facade, change: dict[str, Any], status: int, path: str | None
    ) -> None:
        made = created(facade.editor, SCHEMAS, SCHEMA)
        change = {key: made["id"] if value == "itself" else value for key, value in change.items()}
        error = error_of(facade.editor.put(SCHEMAS, json={"id": made["id"]} | change), status)
        assert path is None or path in [each["path"] for each in error["details"]]
        assert facade.viewer.get(f"{SCHEMAS}/{made['id']}").json() == made


class TestDelete:
    def test_it_is_gone_with_its_table_once_that_is_confirmed(self, facade: Facade) -> None:
        made = created(facade.editor, SCHEMAS, SCHEMA)
        error = error_of(facade.editor.delete(SCHEMAS, params={"id": made["id"]}), 400)
        assert [(each["path"], each["code"]) for each in error["details"]] == [("confirm", "confirmation_required")]
        assert "ds_orders" in tables(facade)
        response = facade.editor.delete(SCHEMAS, params={"id": made["id"], "confirm": "true"})
        assert (response.status_code, response.content) == (204, b"")
        assert "ds_orders" not in tables(facade)
        error_of(facade.viewer.get(f"{SCHEMAS}/{made['id']}"), 404)
        created(facade.editor, SCHEMAS, SCHEMA)

    def test_one_that_a_pipeline_or_a_schema_uses_stays(self, facade: Facade) -> None:
        pipeline = facade.pipeline()
        linked = created(facade.editor, SCHEMAS, SCHEMA | {"name": "customers"})
        created(facade.editor, SCHEMAS, SCHEMA | {"name": "events", "linkedSchemaId": linked["id"]})
        loaded = created(facade.editor, SCHEMAS, SCHEMA | {"name": "loaded"})
        target = {**IR["nodes"][1], "schema": "ds_loaded"}
        body = facade.references(pipeline["id"], {**IR, "nodes": [IR["nodes"][0], target]})
        created(facade.editor, f"{BASE_PATH}/pipelines", body)
        for used, reported in (
            (pipeline["schemaId"], "'orders'"),
            (linked["id"], "in use"),
            (loaded["id"], "'another'"),
        ):
            response = facade.editor.delete(SCHEMAS, params={"id": used, "confirm": "true"})
            assert reported in error_of(response, 409)["message"]
        assert {"ds_orders", "ds_customers", "ds_loaded"} <= set(tables(facade))

    def test_a_table_that_is_gone_already_is_no_hindrance(self, facade: Facade) -> None:
        made = created(facade.editor, SCHEMAS, SCHEMA)
        with facade.engine.begin() as connection:
            connection.execute(text("DROP TABLE ds_orders"))
        assert facade.viewer.get(f"{SCHEMAS}/{made['id']}/data").json()["rows"] == []
        assert facade.viewer.get(f"{SCHEMAS}/{made['id']}/stats").json()["fields"] == []
        error_of(facade.editor.post(f"{SCHEMAS}/{made['id']}/data", json={"rows": [{"amount": 1}]}), 409)
        assert facade.editor.delete(SCHEMAS, params={"id": made["id"], "confirm": "true"}).status_code == 204


def test_another_tenants_is_as_one_that_does_not_exist(facade: Facade) -> None:
    made = created(facade.editor, SCHEMAS, SCHEMA)
    field = made["fields"][0]["id"]
    for schema_id in (made["id"], "schema_none"):
        error_of(facade.foreign.put(SCHEMAS, json={"id": schema_id, "displayName": "x"}), 404)
        for confirm in ("true", "false"):
            error_of(facade.foreign.delete(SCHEMAS, params={"id": schema_id, "confirm": confirm}), 404)
        for path in ("", "/fields", "/data", "/stats"):
            error_of(facade.foreign.get(f"{SCHEMAS}/{schema_id}{path}"), 404)
        error_of(facade.foreign.post(f"{SCHEMAS}/{schema_id}/data", json={"rows": [{"amount": 1}]}), 404)
        error_of(facade.foreign.post(f"{SCHEMAS}/{schema_id}/fields", json={"name": "x"}), 404)
        error_of(facade.foreign.put(f"{SCHEMAS}/{schema_id}/fields", json={"id": field}), 404)
        error_of(facade.foreign.delete(f"{SCHEMAS}/{schema_id}/fields", params={"id": field}), 404)
    assert facade.viewer.get(f"{SCHEMAS}/{made['id']}").json() == made


def test_a_viewer_changes_nothing(facade: Facade) -> None:
    made = created(facade.editor, SCHEMAS, SCHEMA)
    own = f"{SCHEMAS}/{made['id']}"
    error_of(facade.viewer.put(SCHEMAS, json={"id": made["id"]}), 403)
    error_of(facade.viewer.delete(SCHEMAS, params={"id": made["id"], "confirm": "true"}), 403)
    error_of(facade.viewer.post(f"{own}/fields", json={"name": "x"}), 403)
    error_of(facade.viewer.put(f"{own}/fields", json={"id": "x"}), 403)
    error_of(facade.viewer.delete(f"{own}/fields", params={"id": "x"}), 403)
    error_of(facade.viewer.post(f"{own}/data", json={"rows": [{"amount": 1}]}), 403)
