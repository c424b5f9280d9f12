"""Connectors, schemas and pipelines: shapes field for field, pages, conflicts."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import text

from api.app import BASE_PATH
from tests.api.conftest import CONNECTOR, IR, SCHEMA, Facade, created, error_of

pytestmark = pytest.mark.postgres

PIPELINES, CONNECTORS, SCHEMAS = (f"{BASE_PATH}/{name}" for name in ("pipelines", "connectors", "schemas"))
ITEM = [
    *("id", "tenantId", "name", "description", "status", "schedule", "connectorId", "schemaId", "executionConfig"),
    *("connector", "schema", "nodes", "edges", "lastRunAt", "lastRunStatus", "createdAt", "updatedAt"),
]
SCHEMA_ITEM = {
    *("id", "tenantId", "name", "displayName", "description", "tableName", "entityType", "schemaType", "status"),
    *("linkedSchemaId", "joinMapping", "summaryColumns", "autoEnrich", "fields", "createdAt", "updatedAt"),
}
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

LEGACY: dict[str, Any] = {
    "name": "Customer Import",
    "schedule": "0 2 * * *",
    "executionConfig": {"batchSize": 5000, "parallelism": 4},
    "nodes": [
        {"id": "n1", "nodeType": "source", "label": "Snowflake Source", "config": {}},
        {"id": "n2", "nodeType": "transform", "label": "Rename Fields", "config": {"type": "rename_field"}},
        {"id": "n3", "nodeType": "target", "label": "Customer Table", "config": {}, "position": {"x": 1, "y": 2.5}},
    ],
    "edges": [{"source": "n1", "target": "n2"}, {"source": "n2", "target": "n3", "id": "e2"}],
}


@pytest.fixture
def references(facade: Facade) -> dict[str, str]:
    connector = created(facade.editor, CONNECTORS, CONNECTOR)
    schema = created(facade.editor, SCHEMAS, SCHEMA | {"name": "customers", "displayName": "Customers"})
    return {"connectorId": connector["id"], "schemaId": schema["id"]}


class TestConnectors:
    def test_it_comes_back_in_the_documented_shape(self, facade: Facade) -> None:
        body = {
            "name": "Files",
            "type": "local_fs",
            "description": "d",
            "config": {"a": 1},
            "connectionConfig": {"b": 2},
        }
        made = created(facade.editor, CONNECTORS, body)
        assert made == facade.viewer.get(f"{CONNECTORS}/{made['id']}").json()
        assert facade.viewer.get(CONNECTORS).json()["data"] == [made]
        assert made["id"].startswith("conn_")
        assert all(TIMESTAMP.fullmatch(made.pop(name)) for name in ("createdAt", "updatedAt"))
        del made["id"]
        assert made == {
            "name": "Files",
            "type": "local_fs",
            "description": "d",
            "config": {"a": 1, "b": 2},
            "authMethod": "access_key",
            "status": "active",
            "lastTestedAt": None,
            "lastError": None,
            "lastSyncRowCount": None,
            "lastSyncAt": None,
        }

    def test_secrets_are_never_shown_nor_stored_in_the_clear(self, facade: Facade) -> None:
        config = {
            "host": "db",
            "password": "hunter2",
            "url": "https://me:hunter2@example.org/x",
            "headers": {"Authorization": "hunter2"},
        }
        body = {"name": "db", "type": "postgresql", "config": config, "authConfig": {"anything": "hunter2"}}
        response = facade.editor.post(CONNECTORS, json=body)
        assert response.json()["config"] == {"host": "db"}
        assert "hunter2" not in response.text
        assert "hunter2" not in facade.admin.get(CONNECTORS).text
        with facade.engine.connect() as connection:
            assert "hunter2" not in str(connection.execute(text("SELECT c::text FROM headrace.connectors c")).scalar())

    def test_a_taken_name_is_409(self, facade: Facade) -> None:
        created(facade.editor, CONNECTORS, CONNECTOR)
        assert error_of(facade.editor.post(CONNECTORS, json=CONNECTOR), 409)["code"] == "conflict"

    def test_pages_are_followed_by_their_cursor(self, facade: Facade) -> None:
        for number in range(5):
            created(facade.editor, CONNECTORS, CONNECTOR | {"name": f"files {number}"})
        names, query = [], "?limit=2"
        while query:
            page = facade.viewer.get(CONNECTORS + query).json()
            names += [connector["name"] for connector in page["data"]]
            pagination = page["pagination"]
            assert (pagination["total"], pagination["limit"]) == (5, 2)
            assert pagination["hasMore"] == (pagination["cursor"] is not None)
            query = f"?limit=2&cursor={pagination['cursor']}" if pagination["hasMore"] else ""
        assert names == [f"files {number}" for number in (4, 3, 2, 1, 0)]

    def test_a_list_says_20_when_nothing_is_asked(self, facade: Facade) -> None:
        assert facade.viewer.get(CONNECTORS).json()["pagination"] == {
            "total": 0,
            "hasMore": False,
            "limit": 20,
            "cursor": None,
        }


class TestSchemas:
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
        assert set(made) == SCHEMA_ITEM
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

    def test_a_taken_name_is_409_and_an_unknown_link_400(self, facade: Facade) -> None:
        created(facade.editor, SCHEMAS, SCHEMA)
        error_of(facade.editor.post(SCHEMAS, json=SCHEMA), 409)
        linked = SCHEMA | {"name": "x", "linkedSchemaId": "schema_none"}
        assert error_of(facade.editor.post(SCHEMAS, json=linked), 400)["details"][0]["path"] == "linkedSchemaId"


class TestPipelines:
    def test_the_documented_legacy_body_is_stored_and_returned_as_given(
        self, facade: Facade, references: dict[str, str]
    ) -> None:
        made = created(facade.editor, PIPELINES, LEGACY | references)
        assert list(made) == [*ITEM, "irVersion"]
        assert (made["nodes"], made["edges"]) == (LEGACY["nodes"], LEGACY["edges"])
        assert made["executionConfig"] == LEGACY["executionConfig"]
        assert (made["irVersion"], made["status"], made["schedule"]) == (None, "draft", "0 2 * * *")
        assert made["schema"] == {"id": references["schemaId"], "name": "customers", "displayName": "Customers"}
        assert made["connector"] == {"id": references["connectorId"], "name": "files", "type": "local_fs"}
        assert (made["lastRunAt"], made["lastRunStatus"]) == (None, None)
        assert TIMESTAMP.fullmatch(made["createdAt"])
        assert facade.viewer.get(f"{PIPELINES}/{made['id']}").json() == made
        assert list(facade.viewer.get(PIPELINES).json()["data"][0]) == ITEM
        assert facade.viewer.get(f"{PIPELINES}/{made['id']}/ir/versions").json() == []
        assert facade.orchestrator.registrations == []

    def test_an_ir_becomes_version_1_and_a_deployment(self, facade: Facade) -> None:
        made = facade.pipeline(nodes=[{"id": "a", "nodeType": "source"}], executionConfig={"parallelism": 3})
        assert (made["irVersion"], made["nodes"], made["edges"]) == ("1.0", [], [])
        versions = facade.viewer.get(f"{PIPELINES}/{made['id']}/ir/versions").json()
        assert [list(version) for version in versions] == [["version", "authoredBy", "comment", "createdAt"]]
        assert (versions[0]["version"], versions[0]["authoredBy"]) == (1, "editor")
        [registered] = facade.orchestrator.registrations
        assert (registered.id, registered.name, registered.ir_version, registered.parallelism) == (
            made["id"],
            "orders",
            1,
            3,
        )

    def test_the_schedule_of_the_ir_wins_over_the_bodys(self, facade: Facade) -> None:
        facade.pipeline("a", schedule="0 2 * * *")
        interval = {"kind": "interval", "minutes": 15}
        facade.pipeline("b", schedule="0 2 * * *", ir=IR | {"schedule": interval})
        first, second = (registered.schedule for registered in facade.orchestrator.registrations)
        assert first is not None
        assert second is not None
        assert (first.kind, second.kind) == ("cron", "interval")

    def test_every_problem_of_an_ir_comes_back(self, facade: Facade, references: dict[str, str]) -> None:
        broken = {**IR, "nodes": [IR["nodes"][0] | {"connector": 3}, IR["nodes"][1] | {"input": "scr"}]}
        body = {"name": "x", **references, "irVersion": "1.0", "ir": broken}
        error = error_of(facade.editor.post(PIPELINES, json=body), 400)
        assert {detail["path"] for detail in error["details"]} >= {"nodes[0].connector", "nodes[1].input"}
        assert facade.viewer.get(PIPELINES).json()["data"] == []

    @pytest.mark.parametrize(
        ("change", "path"),
        [
            ({"name": None}, "name"),
            ({"connectorId": "conn_none"}, "connectorId"),
            ({"schemaId": ""}, "schemaId"),
            ({"schedule": "every day"}, "schedule"),
            ({"executionConfig": {"parallelism": 0}}, "executionConfig.parallelism"),
            ({"irVersion": "2.0"}, "irVersion"),
            ({"irVersion": "1.0"}, "body"),
            ({"ir": IR}, "body"),
            ({"nodes": [{"id": "n1"}]}, "nodes[0].nodeType"),
            ({"edges": [{"source": "n1", "target": "nowhere"}]}, "body"),
            ({"colour": "blue"}, "colour"),
        ],
    )
    def test_a_body_that_is_not_valid_is_400_and_says_where(
        self, facade: Facade, references: dict[str, str], change: dict[str, Any], path: str
    ) -> None:
        error = error_of(facade.editor.post(PIPELINES, json=LEGACY | references | change), 400)
        assert path in [detail["path"] for detail in error["details"]]

    def test_a_taken_name_is_409(self, facade: Facade, references: dict[str, str]) -> None:
        created(facade.editor, PIPELINES, LEGACY | references)
        error_of(facade.editor.post(PIPELINES, json=LEGACY | references), 409)

    def test_while_prefect_is_away_a_pipeline_is_saved_and_its_first_run_registers_it(self, facade: Facade) -> None:
        facade.orchestrator.away = True
        made = facade.pipeline()
        facade.orchestrator.away = False
        assert facade.orchestrator.registrations == []
        created(facade.editor, f"{PIPELINES}/{made['id']}/run", {})
        assert [registered.id for registered in facade.orchestrator.registrations] == [made["id"]]

    def test_lists_are_narrowed_by_filters(self, facade: Facade) -> None:
        first, second = facade.pipeline("orders"), facade.pipeline("customers")
        for query, expected in (
            ("q=ORD", [first]),
            (f"connectorId={second['connectorId']}", [second]),
            (f"schemaId={first['schemaId']}", [first]),
            ("status=draft", [second, first]),
            ("status=active", []),
        ):
            page = facade.viewer.get(f"{PIPELINES}?{query}").json()
            assert [item["id"] for item in page["data"]] == [item["id"] for item in expected], query
            assert page["pagination"]["total"] == len(expected)
