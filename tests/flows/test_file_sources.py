"""Files of whole runs, through REST, Prefect and the worker: waited for, taken, archived, and found again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningStack
from tests.rest import Api, eventually

pytestmark = pytest.mark.stack

Make = Callable[..., Api]

CHECK = {"id": "check", "kind": "validate", "rowLevel": [{"id": "small", "field": "amount", "rule": "lt:100"}]}


@pytest.fixture
def make(stack: RunningStack) -> Iterator[Make]:
    """Pipelines that read the folder `<name>/`, each with a folder of its own."""
    made: list[Api] = []

    def build(config: dict[str, Any], **kwargs: Any) -> Api:
        api = Api(stack, None, **kwargs)
        made.append(api)
        folder(api).mkdir()
        api.body["ir"]["nodes"][0]["config"] = {"path": f"{api.name}/", "atomicity": {}, **config}
        return api.create()

    yield build
    for api in made:
        api.close()


def folder(api: Api) -> Path:
    return api.stack.files_root / api.name


def put(api: Api, name: str, text: str) -> None:
    """A file that arrives as it should: written under a temporary name, then renamed, with the time of its origin."""
    path = folder(api) / f".{name}"
    path.write_text(text)
    os.utime(path, (time.time() - 60,) * 2)
    path.rename(folder(api) / name)


def names(api: Api, within: str) -> list[str]:
    return sorted(path.name for path in (folder(api) / within).rglob("*.csv"))


def retry(api: Api, run_id: str) -> str:
    return str(api.make(f"/pipelines/{api.pipeline}/runs/{run_id}/retry", {})["id"])


def waits(api: Api, run_id: str) -> dict[str, Any]:
    """The run's progress once it has said that it waits for a file."""

    def waiting() -> dict[str, Any] | None:
        progress = api.progress(run_id)
        return progress if any("waiting for" in line["message"] for line in progress["log"]) else None

    return eventually(waiting)


def test_it_waits_for_the_file_loads_it_archives_it_and_replays_it_from_there(make: Make) -> None:
    policy = {"maxRetries": 600, "intervalMinutes": 0.002, "onMissAction": "fail"}
    api = make({"waitPolicy": policy, "pattern": {"type": "glob", "value": "*.csv"}}, nodes=[dict(CHECK)])
    run_id = api.start()
    progress = waits(api, run_id)
    assert progress["status"] in ("pending", "running")
    assert f"a file that matches glob '*.csv' in '{api.name}'" in str(progress["log"])
    put(api, "a.csv", "amount,note\n1,a\n500,b\n")
    progress = api.finished(run_id)
    assert (progress["status"], progress["rowsOut"], progress["failedRows"]) == ("completed_with_errors", 1, 1)
    assert names(api, ".archive") == ["a.csv"]
    assert names(api, ".processing") == []

    corrected = {**api.body["ir"], "nodes": [dict(node) for node in api.body["ir"]["nodes"]]}
    corrected["nodes"][1]["rowLevel"] = [{"id": "small", "field": "amount", "rule": "lt:1000"}]
    assert api.post(f"/pipelines/{api.pipeline}/ir", json={"ir": corrected}).is_success
    put(api, "b.csv", "amount,note\n7,next\n")
    assert api.finished(retry(api, run_id))["rowsOut"] == 1
    assert api.rows() == [(1, "a"), (500, "b")]
    assert names(api, ".archive") == ["a.csv"]
    assert (folder(api) / "b.csv").exists()


def test_a_run_whose_file_does_not_come_ends_as_the_policy_says(make: Make) -> None:
    for action, status in (("skip", "completed"), ("alert", "completed"), ("fail", "failed")):
        api = make({"waitPolicy": {"maxRetries": 1, "intervalMinutes": 0.001, "onMissAction": action}})
        progress = api.run()
        assert (progress["status"], progress["rowsIn"], progress["rowsOut"]) == (status, 0, 0)
        last = progress["log"][-1]["message"]
        assert "did not come (2 looks" in last
        assert last.startswith("Warning: ") == (action == "alert")


def test_a_waiting_run_is_cancelled_at_once(make: Make) -> None:
    api = make({"waitPolicy": {"maxRetries": 9, "intervalMinutes": 600}})
    run_id = api.start()
    waits(api, run_id)
    assert api.post(f"/pipelines/{api.pipeline}/runs/{run_id}/cancel").status_code == 202
    assert api.finished(run_id)["status"] == "failed"
    assert api.detail(run_id)["failureReason"] == "cancelled"


def test_a_file_that_cannot_be_parsed_is_put_aside_and_the_retry_is_refused_with_its_place(make: Make) -> None:
    api = make({})
    put(api, "a.csv", 'amount,note\n1,"a\n')
    run_id = api.start()
    assert api.finished(run_id)["status"] == "failed"
    where = f"'{api.name}/a.csv' moved to '{api.name}/.failed/a.csv'."
    assert api.detail(run_id)["failureReason"].endswith(where)
    assert names(api, ".failed") == ["a.csv"]
    refused = api.post(f"/pipelines/{api.pipeline}/runs/{run_id}/retry")
    assert refused.status_code == 422
    assert f"is in '{api.name}/.failed/a.csv'" in refused.json()["error"]["message"]


def test_a_run_killed_halfway_keeps_its_file_for_its_retry(make: Make) -> None:
    rows = 60_000
    api = make({}, execution={"parallelism": 2, "batchSize": 20})
    put(api, "a.csv", "amount,note\n" + "".join(f"{number},a note of some length\n" for number in range(rows)))
    run_id = api.start()
    url = f"/flow_runs/{run_id.removeprefix('run_')}"
    # The worker reports its process some time after it began.
    process: str = eventually(lambda: api.stack.prefect.get(url).json()["infrastructure_pid"])
    eventually(lambda: api.progress(run_id)["processedRows"] > 2_000 or None)
    os.kill(int(process.rpartition(":")[2]), signal.SIGKILL)
    assert api.finished(run_id)["status"] == "failed"
    assert names(api, f".processing/{run_id}") == ["a.csv"]
    put(api, "b.csv", "amount,note\n7,next\n")
    # The small batches were there to be killed between; the rest need not take as long.
    assert api.put("/pipelines", json={"id": api.pipeline, "executionConfig": {"parallelism": 2}}).is_success
    progress = api.finished(retry(api, run_id))
    assert (progress["status"], progress["rowsIn"], progress["rowsOut"]) == ("completed", rows, rows)
    assert api.rows("SELECT count(*), count(DISTINCT amount) FROM {table}") == [(rows, rows)]
    assert names(api, ".archive") == ["a.csv"]
    assert (folder(api) / "b.csv").exists()
