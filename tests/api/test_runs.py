"""Runs: started once per key, listed whoever started them, watched and explained."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from api.app import BASE_PATH
from tests.api.conftest import IR, Facade, created, error_of
from tests.api.test_resources import LEGACY, TIMESTAMP

pytestmark = pytest.mark.postgres


@pytest.fixture
def pipeline(facade: Facade) -> str:
    return str(facade.pipeline()["id"])


def path(pipeline: str, *rest: str) -> str:
    return "/".join([f"{BASE_PATH}/pipelines/{pipeline}", *rest])


def begin(facade: Facade, pipeline: str, *partitions: tuple[int, int, int]) -> str:
    """A run that has been asked for and planned."""
    run_id = str(created(facade.editor, path(pipeline, "run"), {})["id"])
    total = sum(rows for _, _, rows in partitions)
    facade.store.started(run_id, total_rows=total, fingerprint={}, plan={}, partitions=partitions)
    return run_id


def report(
    facade: Facade, run_id: str, index: int, status: str, rows: int, *, failed: int = 0, skipped: int = 0
) -> None:
    facade.store.partition(
        run_id,
        0,
        index,
        status=status,
        rows_in=rows,
        rows_out=rows - failed - skipped,
        failed=failed,
        skipped=skipped,
        nodes={"src": {"rowsIn": rows}, "tgt": {"rowsOut": rows - failed - skipped}},
    )


def reject(facade: Facade, run_id: str, cells: list[tuple[int, str | None, str | None, str]]) -> None:
    facade.store.errors(
        run_id,
        run_id,
        "check",
        0,
        0,
        rows=[row for row, _, _, _ in cells],
        columns=[column for _, column, _, _ in cells],
        values=[value for _, _, value, _ in cells],
        errors=[error for _, _, _, error in cells],
        rules=["rule"] * len(cells),
    )


def age(facade: Facade, run_id: str, seconds: int) -> None:
    """Puts everything the run has said so far into the past."""
    with facade.engine.begin() as connection:
        for table, column, key in (
            ("pipeline_runs", "created_at", "id"),
            ("pipeline_runs", "started_at", "id"),
            ("pipeline_runs", "measured_from", "id"),
            ("run_partitions", "updated_at", "run_id"),
        ):
            connection.execute(
                text(f"UPDATE headrace.{table} SET {column} = {column} - make_interval(secs => :s) WHERE {key} = :id"),
                {"s": seconds, "id": run_id},
            )


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
        legacy = created(facade.editor, f"{BASE_PATH}/pipelines", LEGACY | references)
        error = error_of(facade.editor.post(path(legacy["id"], "run")), 422)
        assert [detail["path"] for detail in error["details"]] == ["nodes[1].config.from", "nodes[1].config.to"]
        assert facade.viewer.get(path(legacy["id"], "runs")).json() == []

    def test_a_stored_ir_that_cannot_compile_is_422_with_details(self, facade: Facade, pipeline: str) -> None:
        source, target = IR["nodes"]
        op = {"type": "filter", "expression": "amuont > 0"}
        declared = source | {"fields": [{"name": "amount", "dataType": "integer"}]}
        filtering = {"id": "f", "kind": "transform", "input": "src", "ops": [op]}
        misspelt = {**IR, "nodes": [declared, filtering, target | {"input": "f"}]}

        error = error_of(facade.editor.post(f"{BASE_PATH}/pipelines", json=facade.references(pipeline, misspelt)), 400)
        assert [detail["path"] for detail in error["details"]] == ["nodes[1].ops[0].expression"]

        # It was saved by a version that did not look so closely.
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

    def test_while_prefect_is_away_what_is_known_is_still_told(self, facade: Facade, pipeline: str) -> None:
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


class TestErrors:
    def test_json_is_the_documented_shape(self, facade: Facade, pipeline: str) -> None:
        run_id = begin(facade, pipeline)
        reject(facade, run_id, [(305, "age", "abc", "Expected integer"), (142, None, None, "Ragged line")])
        assert facade.viewer.get(path(pipeline, "runs", run_id, "errors")).json() == {
            "runId": run_id,
            "total": 2,
            "errors": [
                {"row": 142, "column": None, "value": None, "error": "Ragged line"},
                {"row": 305, "column": "age", "value": "abc", "error": "Expected integer"},
            ],
        }

    def test_beyond_1000_there_is_a_cursor(self, facade: Facade, pipeline: str) -> None:
        run_id = begin(facade, pipeline)
        reject(facade, run_id, [(row, "a", "b", "c") for row in range(1, 2502)])
        rows: list[int] = []
        query = ""
        for _ in range(3):
            page = facade.viewer.get(path(pipeline, "runs", run_id, f"errors{query}")).json()
            assert page["total"] == 2501
            rows += [error["row"] for error in page["errors"]]
            query = f"?cursor={page['pagination']['cursor']}"
        assert rows == list(range(1, 2502))
        assert page["pagination"] == {"total": 2501, "hasMore": False, "limit": 1000, "cursor": None}

    @pytest.mark.parametrize("query", ["limit=0", "limit=1001", "cursor=nonsense", "cursor=WyJhIl0"])
    def test_a_bad_page_is_400(self, facade: Facade, pipeline: str, query: str) -> None:
        run_id = begin(facade, pipeline)
        error_of(facade.viewer.get(path(pipeline, "runs", run_id, f"errors?{query}")), 400)

    def test_csv_has_every_error_a_header_and_a_name(self, facade: Facade, pipeline: str) -> None:
        run_id = begin(facade, pipeline)
        reject(facade, run_id, [(row, "a", 'x,"y"\nz', "c") for row in range(1, 4502)])
        response = facade.viewer.get(path(pipeline, "runs", run_id, "errors"), headers={"Accept": "text/csv"})
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        disposition = f'attachment; filename="pipeline-run-{run_id}-errors.csv"'
        assert response.headers["Content-Disposition"] == disposition
        lines = list(csv.reader(io.StringIO(response.text, newline="")))
        assert lines[0] == ["Row", "Column", "Value", "Error"]
        assert lines[1:] == [[str(row), "a", 'x,"y"\nz', "c"] for row in range(1, 4502)]

    def test_csv_of_no_errors_is_its_header(self, facade: Facade, pipeline: str) -> None:
        run_id = begin(facade, pipeline)
        response = facade.viewer.get(path(pipeline, "runs", run_id, "errors"), headers={"Accept": "text/csv"})
        assert response.text == "Row,Column,Value,Error\r\n"

    def test_csv_of_a_foreign_run_is_an_envelope(self, facade: Facade, pipeline: str) -> None:
        run_id = begin(facade, pipeline)
        error_of(facade.foreign.get(path(pipeline, "runs", run_id, "errors"), headers={"Accept": "text/csv"}), 404)


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
