"""Connectors, schemas and pipelines: fields of responses, pagination, conflicts."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.api.app import BASE_PATH
from tests.api.conftest import CONNECTOR, IR, SCHEMA, Facade, created, error_of
from tests.api.legacy_pipeline import LEGACY, TIMESTAMP

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


@pytest.fixture
def references(facade: Facade) -> dict[str, str]:
    connector = created(facade.editor, CONNECTORS, CONNECTOR)
    schema = created(facade.editor, SCHEMAS, SCHEMA | {"name": "customers", "displayName": "Customers"})
    return {"connectorId": connector["id"], "schemaId": schema["id"]}


class TestPipelines:
    def test_the_documented_legacy_body_is_stored_and_returned_as_given(
        self, facade: Facade, references: dict[str, str]
    ) -> None:
        made = created(facade.editor, PIPELINES, LEGACY | references)
        assert list(made) == [*ITEM, "irVersion", "issues"]
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
        [registered] = facade.orchestrator.registrations
        assert (registered.name, registered.parallelism) == ("Customer Import", 4)

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
            ({"executionConfig": {"parallelism": True}}, "executionConfig.parallelism"),
            ({"executionConfig": {"mode": "stream"}}, "executionConfig.mode"),
            ({"executionConfig": {"maxRows": 5}}, "executionConfig"),
            ({"executionConfig": {"partitioning": {"by": "luck"}}}, "executionConfig.partitioning.by"),
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
