"""Load modes over REST: runs that wait for a table lock, retries of full loads, and swapped tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import RunningStack
from tests.rest import Api, eventually

pytestmark = pytest.mark.stack

Make = Callable[..., Api]


@pytest.fixture
def make(stack: RunningStack) -> Iterator[Make]:
    made: list[Api] = []

    def build(*args: Any, target: dict[str, Any] | None = None, **kwargs: Any) -> Api:
        made.append(Api(stack, *args, **kwargs))
        made[-1].body["ir"]["nodes"][-1] |= target or {}
        return made[-1].create()

    yield build
    for api in made:
        api.close()


def lines(rows: int) -> str:
    return "amount,note\n" + "".join(f"{number},a note about {number}\n" for number in range(rows))


def retry(api: Api, run_id: str) -> dict[str, Any]:
    return api.make(f"/pipelines/{api.pipeline}/runs/{run_id}/retry", {})


def prefect_state(api: Api, run_id: str) -> dict[str, Any]:
    flow_run = api.stack.prefect.get(f"/flow_runs/{run_id.removeprefix('run_')}", timeout=30).json()
    state: dict[str, Any] = flow_run["state"]
    return state


def waiting(api: Api, run_id: str, after: str) -> None:
    """Returns when the run's log says which run it waits for."""
    reason = f"waits for {after}, which loads into"

    def reported() -> bool | None:
        return any(line["message"].startswith(reason) for line in api.progress(run_id)["log"]) or None

    eventually(reported)


def test_a_run_waits_for_the_one_that_has_its_table_and_says_so(make: Make) -> None:
    slow = make(lines(400_000), execution={"parallelism": 2, "batchSize": 50})
    alone = make("amount,note\n7,alone\n", target={"schema": slow.table, "loadMode": "replace"})
    beside = make("amount,note\n-1,beside\n", target={"schema": slow.table})
    slow_run = slow.start()
    eventually(lambda: slow.progress(slow_run)["processedRows"] or None)

    # Runs that append share the table.
    assert beside.run()["status"] == "completed"
    assert slow.progress(slow_run)["status"] == "running"

    run_id = alone.start()
    waiting(alone, run_id, slow_run)
    assert alone.progress(run_id)["status"] == "pending"
    assert [(run["id"], run["status"]) for run in alone.runs()] == [(run_id, "pending")]
    state = prefect_state(alone, run_id)
    assert (state["type"], state["name"]) == ("RUNNING", "Running")
    assert state["message"] == f"Waiting: waits for {slow_run}, which loads into {slow.table}"

    # A run that is cancelled while it waits does not block others.
    assert alone.post(f"/pipelines/{alone.pipeline}/runs/{run_id}/cancel").status_code == 202
    assert alone.finished(run_id)["status"] == "failed"
    assert alone.detail(run_id)["failureReason"] == "cancelled"
    assert beside.run()["status"] == "completed"

    run_id = alone.start()
    waiting(alone, run_id, slow_run)
    assert slow.post(f"/pipelines/{slow.pipeline}/runs/{slow_run}/cancel").status_code == 202
    progress = alone.finished(run_id)
    assert (progress["status"], progress["rowsOut"]) == ("completed", 1)
    assert slow.rows() == [(7, "alone")]


@pytest.mark.parametrize("mode", ["replace", "blue_green"])
@pytest.mark.first_variant
def test_a_full_load_is_retried_from_the_beginning_and_its_failed_rows_are_added(make: Make, mode: str) -> None:
    check = {
        "id": "check",
        "kind": "validate",
        "rowLevel": [{"id": "small", "field": "amount", "rule": "lt:100", "onFail": "quarantine"}],
    }
    api = make("amount,note\n", nodes=[check], target={"loadMode": mode})
    run_id = api.start()
    assert api.finished(run_id)["status"] == "failed"
    assert "No rows came" in api.detail(run_id)["failureReason"]
    api.file.write_text(lines(150))
    again = retry(api, run_id)
    assert again["loadStrategy"] == "replace"
    assert again["metadata"] == {"retryOf": run_id, "resumeFromRow": 0, "resumable": False}
    progress = api.finished(again["id"])
    assert (progress["status"], progress["rowsOut"], progress["failedRows"]) == ("completed_with_errors", 100, 50)
    corrected = json.loads(json.dumps(api.body["ir"]).replace("lt:100", "lt:120"))
    assert api.post(f"/pipelines/{api.pipeline}/ir", json={"ir": corrected}).is_success
    assert api.finished(retry(api, again["id"])["id"])["rowsOut"] == 20
    assert api.rows("SELECT count(*), count(DISTINCT amount), max(amount) FROM {table}") == [(120, 120, 119)]


def test_a_swapped_table_is_still_the_schema_s(make: Make) -> None:
    api = make(lines(3), target={"loadMode": "blue_green"})
    assert api.run()["status"] == api.run()["status"] == "completed"
    schema = f"/schemas/{api.body['schemaId']}"
    page = api.get(f"{schema}/data").json()
    assert [(row["amount"], row["note"]) for row in page["rows"]] == [(n, f"a note about {n}") for n in range(3)]
    assert api.make(f"{schema}/data", {"rows": [{"amount": 9, "note": "by hand"}]})["inserted"] == 1
    api.make(f"{schema}/fields", {"name": "later", "dataType": "text"})
    assert api.get(f"{schema}/stats").is_success
    assert api.run()["status"] == "completed"
    assert api.rows("SELECT count(*), count(DISTINCT id), count(later) FROM {table}") == [(3, 3, 0)]


def test_an_incremental_pipeline_loads_what_was_added(make: Make) -> None:
    refused = make("amount,note\n")
    refused.body["ir"]["nodes"][-1]["loadMode"] = "incremental_watermark"
    answer = refused.post(f"/pipelines/{refused.pipeline}/ir", json={"ir": refused.body["ir"]})
    assert answer.status_code in (400, 422)
    assert "nodes[1].watermarkColumn" in answer.text

    api = make(lines(3), target={"loadMode": "incremental_watermark", "watermarkColumn": "amount"})
    assert api.run()["rowsOut"] == 3
    api.file.write_text(lines(5))
    progress = api.run()
    assert (progress["rowsIn"], progress["rowsOut"], progress["skippedRows"]) == (5, 2, 3)
    assert api.rows("SELECT count(*) FROM {table}") == [(5,)]
