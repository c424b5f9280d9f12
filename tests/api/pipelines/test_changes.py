"""Changes and deletion of pipelines; legacy pipelines that become complete can run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from headrace.api.app import BASE_PATH
from headrace.deployments.cli.doctor.database import database
from tests.api.conftest import CONNECTOR, IR, SCHEMA, Facade, created, error_of

pytestmark = pytest.mark.postgres

PIPELINES = f"{BASE_PATH}/pipelines"

COMPLETE: list[dict[str, Any]] = [
    {"id": "n1", "nodeType": "source", "config": {"path": "c.csv"}},
    {"id": "n2", "nodeType": "transform", "config": {"type": "rename_field", "from": "a", "to": "amount"}},
    {"id": "n3", "nodeType": "target", "config": {}},
]
EDGES = [{"source": "n1", "target": "n2"}, {"source": "n2", "target": "n3"}]


@pytest.fixture
def legacy(facade: Facade) -> dict[str, Any]:
    """A legacy pipeline with an incomplete node."""
    references = {
        "connectorId": created(facade.editor, f"{BASE_PATH}/connectors", CONNECTOR)["id"],
        "schemaId": created(facade.editor, f"{BASE_PATH}/schemas", SCHEMA | {"name": "customers"})["id"],
    }
    nodes = [COMPLETE[0], COMPLETE[1] | {"config": {"type": "rename_field", "to": "amount"}}, COMPLETE[2]]
    return created(facade.editor, PIPELINES, {"name": "Customers", **references, "nodes": nodes, "edges": EDGES})


def put(facade: Facade, pipeline: dict[str, Any], **changes: Any) -> Any:
    return facade.editor.put(PIPELINES, json={"id": pipeline["id"], **changes})


class TestPut:
    def test_what_is_named_changes_and_the_rest_stays(self, facade: Facade) -> None:
        before = facade.pipeline(description="old", schedule="0 2 * * *", executionConfig={"batchSize": 10})
        changed = put(facade, before, name="renamed", executionConfig={"parallelism": 2}, description=None)
        assert changed.status_code == 200
        after = changed.json()
        assert after == facade.viewer.get(f"{PIPELINES}/{before['id']}").json()
        expected = {"name": "renamed", "executionConfig": {"parallelism": 2}, "description": None}
        assert after == before | expected | {"updatedAt": after["updatedAt"]}
        assert after["updatedAt"] > before["updatedAt"]

    def test_prefect_hears_of_it_once(self, facade: Facade) -> None:
        made = facade.pipeline()
        put(facade, made, schedule="0 3 * * *", name="renamed")
        put(facade, made, schedule=None)
        heard = [(each.name, getattr(each.schedule, "expression", None)) for each in facade.orchestrator.registrations]
        assert heard == [("orders", None), ("renamed", "0 3 * * *"), ("renamed", None)]

    def test_pausing_stops_the_schedule_and_resuming_gives_back_what_it_was(self, facade: Facade) -> None:
        made = facade.pipeline(schedule="0 3 * * *")
        assert put(facade, made, status="paused").json()["status"] == "paused"
        assert put(facade, made, status="active").json()["status"] == "draft"  # it never ran
        run_id = created(facade.editor, f"{PIPELINES}/{made['id']}/run", {})["id"]
        put(facade, made, status="paused")
        facade.store.finished(run_id, status="completed", failure_reason=None)
        assert facade.viewer.get(f"{PIPELINES}/{made['id']}").json()["status"] == "paused"
        assert put(facade, made, status="active").json()["status"] == "active"
        assert [each.active for each in facade.orchestrator.registrations] == [True, False, True, False, True]
        assert put(facade, made, status="draft").status_code == 400

    def test_nodes_replace_nodes_and_edges(self, facade: Facade, legacy: dict[str, Any]) -> None:
        nodes = [{"id": "x", "nodeType": "source"}]
        after = put(facade, legacy, nodes=nodes).json()
        assert (after["nodes"], after["edges"]) == (nodes, [])

    @pytest.mark.parametrize(
        ("change", "path"),
        [
            ({"edges": []}, "body"),
            ({"nodes": [{"id": "a", "nodeType": "source"}], "edges": [{"source": "a", "target": "b"}]}, "body"),
            ({"name": None}, "name"),
            ({"name": "two\nlines"}, "name"),
            ({"name": "a\u2028b"}, "name"),
            ({"schedule": "daily"}, "schedule"),
            ({"connectorId": "conn_1"}, "connectorId"),
        ],
    )
    def test_what_cannot_be_is_400(self, facade: Facade, change: dict[str, Any], path: str) -> None:
        made = facade.pipeline()
        assert error_of(put(facade, made, **change), 400)["details"][0]["path"] == path
        assert facade.viewer.get(f"{PIPELINES}/{made['id']}").json() == made

    def test_a_taken_name_is_409_and_a_foreign_pipeline_404(self, facade: Facade) -> None:
        made = facade.pipeline("one")
        facade.pipeline("two")
        error_of(put(facade, made, name="two"), 409)
        error_of(put(facade, made, name="two", executionConfig={"parallelism": 2}), 409)
        error_of(facade.foreign.put(PIPELINES, json={"id": made["id"], "name": "mine"}), 404)
        error_of(facade.editor.put(PIPELINES, json={"id": "pipe_none"}), 404)

    def test_nodes_that_an_ir_would_contradict_are_409(self, facade: Facade) -> None:
        made = facade.pipeline()
        error_of(put(facade, made, nodes=COMPLETE, edges=EDGES), 409)
        assert put(facade, made, nodes=[], edges=[]).status_code == 200


class TestLegacy:
    def test_what_it_lacks_is_shown_and_a_run_is_422_until_it_is_corrected(
        self, facade: Facade, legacy: dict[str, Any]
    ) -> None:
        paths = [issue["path"] for issue in legacy["issues"]]
        assert paths == ["nodes[1].config.from"]
        refused = error_of(facade.editor.post(f"{PIPELINES}/{legacy['id']}/run"), 422)
        assert refused["details"] == legacy["issues"]
        assert facade.orchestrator.registrations == []

        corrected = put(facade, legacy, nodes=COMPLETE, edges=EDGES).json()
        assert (corrected["issues"], corrected["irVersion"]) == ([], None)
        created(facade.editor, f"{PIPELINES}/{legacy['id']}/run", {})
        [registered] = facade.orchestrator.registrations
        assert (registered.id, registered.ir_version) == (legacy["id"], None)

    def test_the_lowered_ir_is_what_runs_and_nobody_else_sees_it(self, facade: Facade, legacy: dict[str, Any]) -> None:
        put(facade, legacy, nodes=COMPLETE, edges=EDGES)
        run = created(facade.editor, f"{PIPELINES}/{legacy['id']}/run", {})
        version = facade.orchestrator.parameters[0]["ir_version"]
        ir = facade.store.pipelines.load(legacy["id"], version).ir
        assert [node["kind"] for node in ir["nodes"]] == ["source", "transform", "target"]
        assert facade.viewer.get(f"{PIPELINES}/{legacy['id']}/ir/versions").json() == []
        error_of(facade.viewer.get(f"{PIPELINES}/{legacy['id']}/ir"), 409)
        # a run keeps the version it started with
        put(facade, legacy, nodes=[COMPLETE[0], COMPLETE[2]], edges=[{"source": "n1", "target": "n3"}])
        assert facade.store.pipelines.load(legacy["id"], version).ir == ir
        assert facade.store.pipelines.load(legacy["id"], None).ir != ir
        assert facade.viewer.get(f"{PIPELINES}/{legacy['id']}/runs/{run['id']}").status_code == 200

    def test_a_pipeline_that_can_run_no_more_loses_its_deployment(self, facade: Facade, legacy: dict[str, Any]) -> None:
        put(facade, legacy, nodes=COMPLETE, edges=EDGES)
        assert facade.orchestrator.deployments
        put(facade, legacy, nodes=COMPLETE, edges=[])
        assert not facade.orchestrator.deployments

    def test_the_first_ir_promotes_it(self, facade: Facade, legacy: dict[str, Any]) -> None:
        put(facade, legacy, nodes=COMPLETE, edges=EDGES)
        saved = created(facade.editor, f"{PIPELINES}/{legacy['id']}/ir", {"ir": IR})
        assert (saved["version"], saved["live"]) == (1, True)
        detail = facade.viewer.get(f"{PIPELINES}/{legacy['id']}").json()
        assert (detail["irVersion"], detail["nodes"]) == ("1.0", COMPLETE)


class TestDelete:
    def delete(self, facade: Facade, pipeline: dict[str, Any], query: str = "") -> Any:
        return facade.editor.delete(f"{PIPELINES}?id={pipeline['id']}{query}")

    def test_it_is_gone_with_its_deployment_and_versions(self, facade: Facade) -> None:
        made = facade.pipeline()
        response = self.delete(facade, made)
        assert (response.status_code, response.content) == (204, b"")
        assert facade.orchestrator.deployments == set()
        error_of(facade.viewer.get(f"{PIPELINES}/{made['id']}"), 404)
        error_of(self.delete(facade, made), 404)
        with facade.engine.connect() as connection:
            for table in ("pipeline_ir_versions", "deployment_changes"):
                assert connection.execute(text(f"SELECT count(*) FROM headrace.{table}")).scalar() == 0

    def test_a_running_one_is_409_unless_forced_which_cancels_the_run(self, facade: Facade) -> None:
        made = facade.pipeline()
        run = created(facade.editor, f"{PIPELINES}/{made['id']}/run", {})
        assert run["id"] in error_of(self.delete(facade, made), 409)["message"]
        assert self.delete(facade, made, "&force=true").status_code == 204
        assert facade.orchestrator.states[run["id"]].failure_reason == "cancelled"

    def test_a_run_that_only_prefect_knows_counts(self, facade: Facade) -> None:
        made = facade.pipeline()
        oldest = facade.orchestrator.put(f"deployment of {made['id']}", status="running").run_id
        for _ in range(25):
            facade.orchestrator.put(f"deployment of {made['id']}", status="completed")
        assert f"{oldest} is running" in error_of(self.delete(facade, made), 409)["message"]
        assert self.delete(facade, made, "&force=true").status_code == 204
        assert facade.orchestrator.states[oldest].failure_reason == "cancelled"

    def test_a_run_that_prefect_says_is_over_does_not(self, facade: Facade) -> None:
        made = facade.pipeline()
        run = created(facade.editor, f"{PIPELINES}/{made['id']}/run", {})
        facade.orchestrator.cancel(run["id"])
        assert self.delete(facade, made).status_code == 204

    def test_a_cancelled_run_that_has_said_its_end_does_not_though_prefect_waits_for_its_process(
        self, facade: Facade
    ) -> None:
        made = facade.pipeline()
        stopping = {"status": "running", "state_name": "Cancelling"}
        run = created(facade.editor, f"{PIPELINES}/{made['id']}/run", {})["id"]
        facade.orchestrator.states[run] = replace(facade.orchestrator.states[run], **stopping)
        reported = error_of(self.delete(facade, made), 409)["message"]
        assert f"{run} is being cancelled: its worker has not confirmed yet that it stopped" in reported
        facade.store.finished(run, status="failed", failure_reason="cancelled")
        assert self.delete(facade, made).status_code == 204

    def test_a_run_that_began_again_counts_though_its_last_attempt_has_ended(self, facade: Facade) -> None:
        made = facade.pipeline()
        run = created(facade.editor, f"{PIPELINES}/{made['id']}/run", {})["id"]
        facade.store.finished(run, status="failed", failure_reason="cancelled")
        facade.orchestrator.states[run] = replace(facade.orchestrator.states[run], status="running")
        assert f"{run} is running" in error_of(self.delete(facade, made), 409)["message"]

    def test_while_prefect_is_away_an_idle_one_goes_and_its_deployment_follows(self, facade: Facade) -> None:
        idle, busy = facade.pipeline("idle"), facade.pipeline("busy")
        created(facade.editor, f"{PIPELINES}/{busy['id']}/run", {})
        facade.orchestrator.away = True
        assert self.delete(facade, idle).status_code == 204
        error_of(self.delete(facade, busy), 409)
        error_of(self.delete(facade, busy, "&force=true"), 503)
        facade.orchestrator.away = False
        assert facade.orchestrator.deployments == {f"deployment of {idle['id']}", f"deployment of {busy['id']}"}
        facade.reconciler.sweep()
        assert facade.orchestrator.deployments == {f"deployment of {busy['id']}"}

    @pytest.mark.parametrize("query", ["", "?id=", "?id=pipe_none", "?id=pipe_none&force=perhaps"])
    def test_what_is_not_there_is_404_and_what_is_not_said_400(self, facade: Facade, query: str) -> None:
        status = 404 if query in ("?id=", "?id=pipe_none") else 400
        error_of(facade.editor.delete(PIPELINES + query), status)

    def test_foreign_is_missing_and_viewers_may_not(self, facade: Facade) -> None:
        made = facade.pipeline()
        error_of(facade.foreign.delete(f"{PIPELINES}?id={made['id']}&force=true"), 404)
        error_of(facade.viewer.delete(f"{PIPELINES}?id={made['id']}"), 403)
        assert facade.viewer.get(f"{PIPELINES}/{made['id']}").json() == made


class TestRefused:
    def test_what_prefect_refuses_is_saved_said_everywhere_and_its_run_is_422(
        self, facade: Facade, facade_url: str
    ) -> None:
        facade.orchestrator.refuses = "Prefect answered 422: no such work pool"
        made = facade.pipeline()
        error = error_of(facade.editor.post(f"{PIPELINES}/{made['id']}/run"), 422)
        assert error["details"][0]["message"] == facade.orchestrator.refuses
        [issue] = facade.viewer.get(f"{PIPELINES}/{made['id']}").json()["issues"]
        assert (issue["code"], issue["message"]) == ("prefect_refuses", facade.orchestrator.refuses)
        [finding] = [each for each in database(facade_url) if each.check == "pipeline"]
        assert (finding.verdict, finding.found) == ("failed", f"orders: {facade.orchestrator.refuses}")
        facade.orchestrator.refuses = ""
        created(facade.editor, f"{PIPELINES}/{made['id']}/run", {})
        assert facade.viewer.get(f"{PIPELINES}/{made['id']}").json()["issues"] == []


class TestSearch:
    @pytest.mark.parametrize(
        ("q", "found"),
        [
            ("ORD", ["orders"]),
            ("%", ["50%_off"]),
            ("_", ["50%_off"]),
            ("\\", ["back\\slash"]),
            ("nothing", []),
            ("k\\s", ["back\\slash"]),
        ],
    )
    def test_a_part_of_the_name_is_taken_as_it_is(self, facade: Facade, q: str, found: list[str]) -> None:
        first = facade.pipeline("orders")
        for name in ("50%_off", "back\\slash"):
            body = facade.references(first["id"], IR) | {"name": name}
            created(facade.editor, PIPELINES, body)
        page = facade.viewer.get(PIPELINES, params={"q": q}).json()
        assert [each["name"] for each in page["data"]] == found
