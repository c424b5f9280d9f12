"""Runs: idempotent starts, lists, and progress."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from headrace.api.app import BASE_PATH
from tests.api.conftest import IR, Facade, created, error_of
from tests.api.legacy_pipeline import LEGACY, TIMESTAMP
from tests.api.runs.reports import age, begin, path, reject, report

pytestmark = pytest.mark.postgres


@pytest.fixture
def pipeline(facade: Facade) -> str:
    return str(facade.pipeline()["id"])


class TestStart:
    def test_a_run_is_201_in_the_documented_shape(self, facade: Facade, pipeline: str) -> None:
        response = facade.editor.post(path(pipeline, "run"))
        assert response.status_code == 201
        run = response.json()
        assert list(run) == ["id", "pipelineId", "status", "createdAt"]
        assert run["id"].startswith("run_")
        assert (run["pipelineId"], run["status"]) == (pipeline, "pending")
        assert TIMESTAMP.fullmatch(run["createdAt"])
        [parameters] = facade.orchestrator.parameters
        assert parameters == {
            "pipeline_id": pipeline,
            "tenant_id": "default",
            "ir_version": 1,
            "retry_of": None,
            "parameters": {},
        }

    def test_the_deployment_is_sent_once_while_nothing_changes(self, facade: Facade, pipeline: str) -> None:
        for _ in range(3):
            created(facade.editor, path(pipeline, "run"), {})
        assert len(facade.orchestrator.registrations) == 1

    def test_a_deployment_somebody_deleted_is_sent_again(self, facade: Facade, pipeline: str) -> None:
        facade.orchestrator.deployments.clear()
        created(facade.editor, path(pipeline, "run"), {})
        assert len(facade.orchestrator.registrations) == 2

    def test_the_same_key_gives_the_same_run_with_200(self, facade: Facade, pipeline: str) -> None:
        headers = {"Idempotency-Key": "monday"}
        first, again = (facade.editor.post(path(pipeline, "run"), headers=headers) for _ in range(2))
        other = facade.editor.post(path(pipeline, "run"), headers={"Idempotency-Key": "tuesday"})
        assert (first.status_code, again.status_code, other.status_code) == (201, 200, 201)
        assert first.json() == again.json()
        assert other.json()["id"] != first.json()["id"]

    def test_a_key_belongs_to_its_pipeline(self, facade: Facade, pipeline: str) -> None:
        second = facade.pipeline("second")["id"]
        headers = {"Idempotency-Key": "monday"}
        runs = [facade.editor.post(path(each, "run"), headers=headers) for each in (pipeline, second)]
        assert [response.status_code for response in runs] == [201, 201]

    @pytest.mark.parametrize("key", ["", "x" * 201])
    def test_a_key_that_is_none_is_400(self, facade: Facade, pipeline: str, key: str) -> None:
        error_of(facade.editor.post(path(pipeline, "run"), headers={"Idempotency-Key": key}), 400)

    def test_a_version_that_does_not_exist_is_404_and_an_unknown_field_400(self, facade: Facade, pipeline: str) -> None:
        error_of(facade.editor.post(path(pipeline, "run"), json={"irVersion": 9}), 404)
        error_of(facade.editor.post(path(pipeline, "run"), json={"irVersoin": 1}), 400)
        assert created(facade.editor, path(pipeline, "run"), {"irVersion": 1})["status"] == "pending"

    def test_a_pipeline_without_ir_is_422_with_details(self, facade: Facade, pipeline: str) -> None:
        stored = facade.viewer.get(path(pipeline)).json()
        references = {"connectorId": stored["connectorId"], "schemaId": stored["schemaId"]}
        first, middle, last = LEGACY["nodes"]
        incomplete = {"nodes": [first, middle | {"config": {"type": "cast"}}, last]}
        legacy = created(facade.editor, f"{BASE_PATH}/pipelines", LEGACY | references | incomplete)
        error = error_of(facade.editor.post(path(legacy["id"], "run")), 422)
        assert [detail["path"] for detail in error["details"]] == ["nodes[1].config.field", "nodes[1].config.to"]
        assert facade.viewer.get(path(legacy["id"], "runs")).json() == []

    def test_a_stored_ir_that_cannot_compile_is_422_with_details(self, facade: Facade, pipeline: str) -> None:
        source, target = IR["nodes"]
        op = {"type": "filter", "expression": "amuont > 0"}
        declared = source | {"fields": [{"name": "amount", "dataType": "integer"}]}
        filtering = {"id": "f", "kind": "transform", "input": "src", "ops": [op]}
        misspelt = {**IR, "nodes": [declared, filtering, target | {"input": "f"}]}

        error = error_of(facade.editor.post(f"{BASE_PATH}/pipelines", json=facade.references(pipeline, misspelt)), 400)
        assert [detail["path"] for detail in error["details"]] == ["nodes[1].ops[0].expression"]

        # It was saved by a release with fewer checks.
        with facade.engine.begin() as connection:
            connection.execute(text("UPDATE headrace.pipeline_ir_versions SET ir = :ir"), {"ir": json.dumps(misspelt)})
        error = error_of(facade.editor.post(path(pipeline, "run")), 422)
        assert [detail["path"] for detail in error["details"]] == ["nodes[1].ops[0].expression"]
        assert "amount" in error["details"][0]["hint"]

    def test_prefect_away_is_503_with_retry_after_and_starts_nothing(self, facade: Facade, pipeline: str) -> None:
        facade.orchestrator.away = True
        response = facade.editor.post(path(pipeline, "run"))
        assert error_of(response, 503)["code"] == "unavailable"
        assert int(response.headers["Retry-After"]) > 0
        facade.orchestrator.away = False
        assert facade.viewer.get(path(pipeline, "runs")).json() == []


class TestList:
    def test_it_is_a_bare_array_newest_first_with_runs_of_prefects_own(self, facade: Facade, pipeline: str) -> None:
        mine = created(facade.editor, path(pipeline, "run"), {})
        scheduled = facade.orchestrator.put(
            f"deployment of {pipeline}", status="failed", ended_at=datetime(2026, 1, 15, 9, tzinfo=UTC)
        )
        runs = facade.viewer.get(path(pipeline, "runs")).json()
        assert [run["id"] for run in runs] == [scheduled.run_id, mine["id"]]
        assert list(runs[0]) == ["id", "pipelineId", "status", "createdAt", "completedAt"]
        assert (runs[0]["status"], runs[0]["completedAt"]) == ("failed", "2026-01-15T09:00:00.000Z")
        assert (runs[1]["status"], runs[1]["completedAt"]) == ("pending", None)

    def test_it_holds_20_at_most_and_none_of_another_pipeline(self, facade: Facade, pipeline: str) -> None:
        second = facade.pipeline("second")["id"]
        for _ in range(22):
            facade.orchestrator.put(f"deployment of {pipeline}")
        created(facade.editor, path(second, "run"), {})
        assert len(facade.viewer.get(path(pipeline, "runs")).json()) == 20
        assert len(facade.viewer.get(path(second, "runs")).json()) == 1

    def test_runs_that_prefect_forgot_stay(self, facade: Facade, pipeline: str) -> None:
        run_id = begin(facade, pipeline)
        facade.store.finished(run_id, status="completed", failure_reason=None)
        facade.orchestrator.states.clear()
        [run] = facade.viewer.get(path(pipeline, "runs")).json()
        assert (run["id"], run["status"]) == (run_id, "completed")
        assert TIMESTAMP.fullmatch(run["completedAt"])

    def test_what_a_run_said_of_its_end_is_ahead_of_prefect(self, facade: Facade, pipeline: str) -> None:
        run_id = begin(facade, pipeline)
        facade.store.finished(run_id, status="completed_with_errors", failure_reason=None)
        [run] = facade.viewer.get(path(pipeline, "runs")).json()
        assert run["status"] == "completed_with_errors"


class TestProgress:
    def test_it_is_exactly_the_documented_shape(self, facade: Facade, pipeline: str) -> None:
        run_id = begin(facade, pipeline, (0, 0, 12500), (0, 1, 12500), (0, 2, 12500), (0, 3, 12500))
        facade.store.log(run_id, "extract", "Read 50000 rows from source")
        reject(facade, run_id, [(row, "email", "not-an-email", "Invalid email format") for row in range(1, 26)])
        age(facade, run_id, 40)
        report(facade, run_id, 0, "completed", 12500, failed=12)
        report(facade, run_id, 1, "completed", 12500, skipped=3)
        report(facade, run_id, 2, "running", 7000)
        progress = facade.viewer.get(path(pipeline, "runs", run_id, "progress")).json()
        assert 40_000 <= progress.pop("durationMs") < 60_000
        assert progress.pop("eta") in {f"{seconds}s" for seconds in range(18, 30)}
        [line] = progress.pop("log")
        assert TIMESTAMP.fullmatch(line.pop("timestamp"))
        assert line == {"stage": "extract", "message": "Read 50000 rows from source"}
        errors = progress.pop("validationErrors")
        assert len(errors) == 20
        assert errors[0] == {"row": 1, "column": "email", "value": "not-an-email", "error": "Invalid email format"}
        assert progress == {
            "status": "running",
            "totalRows": 50000,
            "processedRows": 32000,
            "rowsIn": 32000,
            "rowsOut": 31985,
            "failedRows": 12,
            "skippedRows": 3,
            "partitions": 4,
            "completedPartitions": 2,
            "partitionDetails": [
                {"index": 0, "status": "completed", "rows": 12500},
                {"index": 1, "status": "completed", "rows": 12500},
                {"index": 2, "status": "running", "rows": 7000, "progress": 56},
                {"index": 3, "status": "pending", "rows": 0},
            ],
            "loadStrategy": "append",
        }

    def test_the_time_that_remains_grows_while_nothing_is_committed(self, facade: Facade, pipeline: str) -> None:
        run_id = begin(facade, pipeline, (0, 0, 1000))
        age(facade, run_id, 10)
        report(facade, run_id, 0, "running", 990)
        shown = path(pipeline, "runs", run_id, "progress")
        assert facade.viewer.get(shown).json()["eta"] == "1s"
        age(facade, run_id, 3600)
        assert facade.viewer.get(shown).json()["eta"] in {f"{seconds}s" for seconds in range(36, 50)}

    def test_rows_are_processed_when_all_stages_have_them(self, facade: Facade, pipeline: str) -> None:
        run_id = begin(facade, pipeline, (0, 0, 100), (1, 0, 0), (1, 1, 0))
        age(facade, run_id, 10)
        shown = path(pipeline, "runs", run_id, "progress")

        def looks() -> tuple[int, int, bool]:
            progress = facade.viewer.get(shown).json()
            return progress["rowsIn"], progress["processedRows"], progress["eta"] is not None

        counts = {"rows_in": 0, "rows_out": 0, "failed": 0, "skipped": 0, "nodes": {}}
        seen = []
        for stage, index, status in ((1, 0, "completed"), (1, 1, "completed"), (-1, 0, "completed")):
            facade.store.counts.report(run_id, -1, 0, status="pending", **counts)
            report(facade, run_id, 0, "completed", 100)
            seen.append(looks())
            facade.store.counts.report(run_id, stage, index, status=status, **counts)
        assert seen == [(100, 33, True), (100, 50, True), (100, 66, True)]
        facade.store.finished(run_id, status="completed", failure_reason=None)
        assert looks() == (100, 100, False)

    def test_a_run_that_waits_has_nothing_yet(self, facade: Facade, pipeline: str) -> None:
        run_id = created(facade.editor, path(pipeline, "run"), {})["id"]
        assert facade.viewer.get(path(pipeline, "runs", run_id, "progress")).json() == {
            "status": "pending",
            "totalRows": 0,
            "processedRows": 0,
            "rowsIn": None,
            "rowsOut": None,
            "failedRows": 0,
            "skippedRows": 0,
            "partitions": 0,
            "completedPartitions": 0,
            "partitionDetails": [],
            "validationErrors": [],
            "eta": None,
            "durationMs": 0,
            "loadStrategy": "append",
            "log": [],
        }

    def test_a_run_only_prefect_knows_can_be_watched(self, facade: Facade, pipeline: str) -> None:
        state = facade.orchestrator.put(f"deployment of {pipeline}")
        progress = facade.viewer.get(path(pipeline, "runs", state.run_id, "progress"))
        assert progress.json()["status"] == "pending"

    def test_a_run_of_another_pipeline_is_404(self, facade: Facade, pipeline: str) -> None:
        second = facade.pipeline("second")["id"]
        known = created(facade.editor, path(second, "run"), {})["id"]
        unknown = facade.orchestrator.put(f"deployment of {second}").run_id
        for run_id in (known, unknown, "run_1", "nonsense"):
            error_of(facade.viewer.get(path(pipeline, "runs", run_id, "progress")), 404)

    def test_a_run_that_reports_is_not_asked_after(self, facade: Facade, pipeline: str) -> None:
        run_id = begin(facade, pipeline, (0, 0, 10))
        facade.viewer.get(path(pipeline, "runs", run_id, "progress"))
        assert facade.orchestrator.questions == 0

    def test_a_run_that_died_in_silence_ends_failed_and_says_why(self, facade: Facade, pipeline: str) -> None:
        run_id = begin(facade, pipeline, (0, 0, 10))
        report(facade, run_id, 0, "running", 4)
        age(facade, run_id, 60)
        facade.orchestrator.put(
            f"deployment of {pipeline}", run_id=run_id, status="failed", failure_reason="the process crashed"
        )
        progress = facade.viewer.get(path(pipeline, "runs", run_id, "progress")).json()
        assert (progress["status"], progress["rowsOut"], progress["eta"]) == ("failed", 4, None)
        assert [(line["stage"], line["message"]) for line in progress["log"]] == [("run", "the process crashed")]
        assert facade.viewer.get(path(pipeline)).json()["lastRunStatus"] == "failed"

    def test_while_prefect_is_away_what_is_known_is_still_reported(self, facade: Facade, pipeline: str) -> None:
        run_id = begin(facade, pipeline, (0, 0, 10))
        age(facade, run_id, 60)
        facade.orchestrator.away = True
        assert facade.viewer.get(path(pipeline, "runs", run_id, "progress")).json()["status"] == "running"


class TestDetail:
    def test_it_has_statistics_nodes_and_links_that_work(self, facade: Facade, pipeline: str) -> None:
        run_id = begin(facade, pipeline, (0, 0, 10))
        report(facade, run_id, 0, "completed", 10, failed=2)
        facade.store.finished(run_id, status="completed_with_errors", failure_reason=None)
        run = facade.viewer.get(path(pipeline, "runs", run_id)).json()
        assert (run["status"], run["irVersion"], run["loadStrategy"]) == ("completed_with_errors", 1, "append")
        statistics = run["statistics"]
        assert (statistics["rowsIn"], statistics["rowsOut"], statistics["failedRows"]) == (10, 8, 2)
        assert run["nodeResults"] == [
            {"nodeId": "src", "counters": {"rowsIn": 10}},
            {"nodeId": "tgt", "counters": {"rowsOut": 8}},
        ]
        assert [facade.viewer.get(link).status_code for link in run["links"].values()] == [200, 200, 200]
        item = facade.viewer.get(path(pipeline)).json()
        assert (item["status"], item["lastRunStatus"]) == ("active", "completed_with_errors")
        assert item["lastRunAt"] == run["startedAt"]


def test_times_are_utc_whatever_the_server_thinks(facade: Facade, pipeline: str) -> None:
    with facade.engine.connect() as connection:
        database: Any = connection.execute(text("SELECT current_database()")).scalar()
    with facade.engine.begin() as connection:
        connection.execute(text(f"ALTER DATABASE \"{database}\" SET timezone TO 'Asia/Tokyo'"))
    facade.engine.dispose()
    try:
        made = datetime.fromisoformat(facade.viewer.get(path(pipeline)).json()["createdAt"])
        assert abs(datetime.now(UTC) - made) < timedelta(minutes=5)
    finally:
        with facade.engine.begin() as connection:
            connection.execute(text(f'ALTER DATABASE "{database}" RESET timezone'))
        facade.engine.dispose()
