"""Retry, cancellation, quarantine and the event stream with a real Prefect; every row is checked."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.api.conftest import error_of
from tests.conftest import RunningStack
from tests.rest import Api, eventually

pytestmark = pytest.mark.stack

Make = Callable[..., Api]

CHECK = {
    "id": "check",
    "kind": "validate",
    "rowLevel": [{"id": "small", "field": "amount", "rule": "lt:100", "onFail": "quarantine"}],
}


@pytest.fixture
def make(stack: RunningStack) -> Iterator[Make]:
    made: list[Api] = []

    def build(*args: Any, **kwargs: Any) -> Api:
        made.append(Api(stack, *args, **kwargs))
        return made[-1].create()

    yield build
    for api in made:
        api.close()


def retry(api: Api, run_id: str) -> dict[str, Any]:
    return api.make(f"/pipelines/{api.pipeline}/runs/{run_id}/retry", {})


def lines(rows: int, start: int = 0) -> str:
    return "amount,note\n" + "".join(f"{number},a note about {number}\n" for number in range(start, start + rows))


def test_a_cancelled_run_is_continued_by_a_retry_after_what_it_committed(make: Make) -> None:
    rows = 300_000
    api = make(lines(rows), execution={"parallelism": 2, "batchSize": 100})
    run_id = api.start()
    eventually(lambda: api.progress(run_id)["processedRows"] > 10_000 or None)
    cancelled = api.post(f"/pipelines/{api.pipeline}/runs/{run_id}/cancel")
    assert (cancelled.status_code, cancelled.json()["id"]) == (202, run_id)
    assert api.finished(run_id)["status"] == "failed"
    assert api.detail(run_id)["failureReason"] == "cancelled"
    error_of(api.post(f"/pipelines/{api.pipeline}/runs/{run_id}/cancel"), 422)
    (loaded,) = api.rows("SELECT count(*) FROM {table}")[0]
    assert 0 < loaded < rows

    # Small batches are only needed to cancel between them; larger ones are faster.
    assert api.put("/pipelines", json={"id": api.pipeline, "executionConfig": {"parallelism": 2}}).is_success
    again = retry(api, run_id)
    assert again | {"id": "", "log": []} == {
        "id": "",
        "pipelineId": api.pipeline,
        "status": "pending",
        "loadStrategy": "append",
        "metadata": {"retryOf": run_id, "resumeFromRow": loaded, "resumable": True},
        "log": [],
    }
    assert again["log"][0]["stage"] == "retry"
    assert again["log"][0]["message"] == f"Resuming from row {loaded} (original run: {run_id})"
    progress = api.finished(again["id"])
    assert (progress["status"], progress["rowsIn"], progress["rowsOut"]) == ("completed", rows, rows)
    assert api.rows("SELECT count(*), count(DISTINCT amount) FROM {table}") == [(rows, rows)]
    assert api.detail(again["id"])["retryOf"] == run_id
    error_of(api.post(f"/pipelines/{api.pipeline}/runs/{again['id']}/retry"), 422)
    refused = error_of(api.post(f"/pipelines/{api.pipeline}/runs/{run_id}/retry"), 422)
    assert "has completed it" in refused["message"]


def test_a_partly_failed_run_is_retried_for_its_failed_rows_alone(make: Make) -> None:
    check = CHECK | {"quarantine": {"table": "dlq.amounts"}}
    api = make(lines(150), nodes=[check])
    run_id = api.start()
    progress = api.finished(run_id)
    assert (progress["status"], progress["rowsOut"], progress["failedRows"]) == ("completed_with_errors", 100, 50)
    kept = api.get(f"/pipelines/{api.pipeline}/runs/{run_id}/dlq", params={"limit": 2}).json()
    assert (kept["runId"], kept["nodeId"], kept["quarantineTable"], kept["count"]) == (
        run_id,
        "check",
        "dlq.amounts",
        2,
    )
    assert kept["rows"][0] | {"id": 0, "createdAt": ""} == {
        "id": 0,
        "ruleId": "small",
        "row": {"amount": 100, "note": "a note about 100"},
        "createdAt": "",
    }

    # Nothing was fixed: the same rows fail again, and are reported once.
    again = retry(api, run_id)
    assert again["metadata"] == {"retryOf": run_id, "resumeFromRow": 150, "resumable": True}
    assert again["log"][0]["message"] == f"Replaying 50 failed rows (original run: {run_id})"
    progress = api.finished(again["id"])
    assert (progress["status"], progress["rowsIn"], progress["rowsOut"], progress["failedRows"]) == (
        "completed_with_errors",
        50,
        0,
        50,
    )
    assert api.get(f"/pipelines/{api.pipeline}/runs/{again['id']}/errors").json()["total"] == 50
    assert api.get(f"/pipeline-runs/{again['id']}/dlq", params={"limit": 1000}).json()["count"] == 50

    # The rule is fixed; the retry of the retry loads the rows that now pass.
    corrected = json.loads(json.dumps(api.body["ir"]).replace("lt:100", "lt:120"))
    assert api.post(f"/pipelines/{api.pipeline}/ir", json={"ir": corrected}).is_success
    trial = f"/pipelines/{api.pipeline}/runs/{again['id']}/retry/dry-run"
    tried = api.post(trial).json()
    assert (tried["irVersion"], tried["rows"], tried["passed"], tried["failed"]) == (2, 50, 20, 30)
    assert [(each["node"], each["rule"], each["rows"]) for each in tried["groups"]] == [("check", "small", 30)]
    before = api.post(trial, json={"irVersion": 1}).json()
    assert (before["irVersion"], before["passed"], before["failed"]) == (1, 0, 50)
    last = retry(api, again["id"])
    progress = api.finished(last["id"])
    assert (progress["rowsIn"], progress["rowsOut"], progress["failedRows"]) == (50, 20, 30)
    assert api.detail(last["id"])["irVersion"] == 2
    assert api.rows("SELECT count(*), count(DISTINCT amount), max(amount) FROM {table}") == [(120, 120, 119)]
    assert api.get(f"/pipeline-runs/{last['id']}/dlq", params={"limit": 1000}).json()["count"] == 30

    error_of(api.post(f"/pipelines/{api.pipeline}/runs/{last['id'][:-1]}x/retry/dry-run"), 404)

    # Replay by pipeline: the remaining failed rows of its newest run.
    replay = api.post(f"/pipelines/{api.pipeline}/run", json={"replayDlqOnly": True})
    assert replay.status_code == 201
    assert api.finished(replay.json()["id"])["rowsIn"] == 30


def test_rows_that_failed_on_one_of_two_ways_are_run_again_for_that_alone(make: Make) -> None:
    api = make(lines(150), nodes=[CHECK])
    forked = json.loads(json.dumps(api.body["ir"]))
    forked["nodes"].append(forked["nodes"][-1] | {"id": "other", "input": forked["nodes"][0]["id"]})
    assert api.post(f"/pipelines/{api.pipeline}/ir", json={"ir": forked}).is_success
    run_id = api.start()
    assert api.finished(run_id)["rowsOut"] == 250
    corrected = json.loads(json.dumps(forked).replace("lt:100", "lt:1000"))
    assert api.post(f"/pipelines/{api.pipeline}/ir", json={"ir": corrected}).is_success
    progress = api.finished(retry(api, run_id)["id"])
    assert (progress["status"], progress["rowsIn"], progress["rowsOut"]) == ("completed", 50, 50)
    assert api.rows("SELECT count(*), count(DISTINCT amount) FROM {table}") == [(300, 150)]


def test_a_failed_run_that_committed_nothing_is_retried_with_what_is_there_now(make: Make) -> None:
    api = make(None)
    run_id = api.start()
    assert api.finished(run_id)["status"] == "failed"
    api.file.write_text("amount,note\n1,a\n")
    again = retry(api, run_id)
    assert again["metadata"]["resumeFromRow"] == 0
    assert api.finished(again["id"])["status"] == "completed"
    assert api.rows() == [(1, "a")]


def test_a_run_that_a_dataset_rule_ended_is_retried_by_the_corrected_rule(make: Make) -> None:
    check = CHECK | {"quarantine": {"table": "dlq.held"}, "datasetLevel": {"rowCount": {"min": 120}}}
    api = make(lines(150), nodes=[check])
    os.utime(api.file, (time.time() - 60,) * 2)  # old enough to count as complete
    api.body["ir"]["nodes"][0]["config"]["atomicity"] = {}
    assert api.post(f"/pipelines/{api.pipeline}/ir", json={"ir": api.body["ir"]}).is_success
    run_id = api.start()
    assert api.finished(run_id)["status"] == "failed"
    assert "no rows after 'check' were published" in api.detail(run_id)["failureReason"]
    assert (api.rows(), api.file.exists()) == ([], False)

    corrected = json.loads(json.dumps(api.body["ir"]).replace('"min": 120', '"min": 100'))
    version = api.post(f"/pipelines/{api.pipeline}/ir", json={"ir": corrected}).json()["version"]
    again = retry(api, run_id)
    assert again["metadata"] == {"retryOf": run_id, "resumeFromRow": 0, "resumable": False}
    why = f"under IR version {version}, because a dataset rule held back every row"
    assert again["log"][0]["message"] == f"Starting from the beginning {why} (original run: {run_id})"
    progress = api.finished(again["id"])
    assert (progress["status"], progress["rowsIn"], progress["rowsOut"]) == ("completed_with_errors", 150, 100)
    assert api.rows("SELECT count(*), count(DISTINCT amount) FROM {table}") == [(100, 100)]
    assert api.rows("SELECT count(*) FROM dlq.held") == [(50,)]
    assert not list(api.stack.files_root.glob(f".processing/*/**/{api.file.name}"))


def test_a_changed_source_is_not_replayed(make: Make) -> None:
    api = make()
    run_id = api.start()
    assert api.finished(run_id)["status"] == "completed_with_errors"
    api.file.write_text("amount,note\n7,z\n")
    refused = error_of(api.post(f"/pipelines/{api.pipeline}/runs/{run_id}/retry"), 422)
    assert "changed since this run began" in refused["message"]


def test_a_completed_run_is_not_retried(make: Make) -> None:
    api = make("amount,note\n1,a\n")
    run_id = api.start()
    assert api.finished(run_id)["status"] == "completed"
    error_of(api.post(f"/pipelines/{api.pipeline}/runs/{run_id}/retry"), 422)
    error_of(api.post(f"/pipelines/{api.pipeline}/run", json={"replayDlqOnly": True}), 422)
    error_of(api.post(f"/pipelines/{api.pipeline}/runs/run_{'0' * 32}/retry"), 404)


def test_nothing_in_quarantine_says_why(make: Make) -> None:
    api = make("amount,note\n1,a\n", nodes=[dict(CHECK)])
    run_id = api.start()
    api.finished(run_id)
    page = api.get(f"/pipelines/{api.pipeline}/runs/{run_id}/dlq").json()
    assert (page["count"], page["residual"]) == (0, "failed rows are not persisted for this node")
    error_of(api.get(f"/pipelines/{api.pipeline}/runs/{run_id}/dlq", params={"node": "nope"}), 404)


def test_the_stream_reports_progress_until_the_end(make: Make) -> None:
    api = make(lines(200_000), execution={"parallelism": 1, "batchSize": 2_000})
    run_id = api.start()
    events: list[tuple[str, dict[str, Any]]] = []
    with api.stream("GET", f"/pipelines/{api.pipeline}/runs/{run_id}/progress/stream") as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        kind = ""
        for line in response.iter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                events.append((kind, json.loads(line.removeprefix("data: "))))
    kinds = [kind for kind, _ in events]
    assert kinds[-1] == "end"
    assert set(kinds[:-1]) == {"progress"}
    rows = [event["processedRows"] for _, event in events]
    assert rows == sorted(rows)
    assert events[-1][1] == api.progress(run_id)
    assert events[-1][1]["status"] == "completed"


def test_parameters_fill_the_source_and_a_retry_keeps_them(make: Make) -> None:
    api = make(None, source={"config": {"path": "{{name}}.csv"}})
    missing = error_of(api.post(f"/pipelines/{api.pipeline}/run"), 422)
    assert [(detail["path"], detail["code"]) for detail in missing["details"]] == [
        ("nodes[0].config.path", "missing_parameter")
    ]
    asked = {"parameters": {"name": api.file.stem}}
    run_id = api.make(f"/pipelines/{api.pipeline}/run", asked)["id"]
    assert api.finished(run_id)["status"] == "failed"
    api.file.write_text("amount,note\n1,a\n")
    assert api.finished(retry(api, run_id)["id"])["rowsOut"] == 1
