"""The API while Prefect does not respond, and after it recovers."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from tests.conftest import RunningStack, command_of
from tests.rest import Api, eventually

pytestmark = pytest.mark.stack


@contextmanager
def prefect_frozen(stack: RunningStack) -> Iterator[None]:
    """The stack's Prefect server accepts connections but does not respond, as if it hung; then it continues.

    (Killing it would end the stack: its supervisor sees to that, and another test to the supervisor.)
    """
    children = psutil.Process(stack.pid).children(recursive=True)
    [server] = [each for each in children if "headrace.deployments.stack.prefect_server" in command_of(each)]
    processes = [server, *server.children(recursive=True)]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(processes):
            process.send_signal(signal.SIGCONT)


def deployments(stack: RunningStack, pipeline_id: str) -> list[dict[str, Any]]:
    tagged = {"deployments": {"tags": {"all_": [f"pipeline:{pipeline_id}"]}}}
    found: list[dict[str, Any]] = stack.prefect.post("/deployments/filter", json=tagged, timeout=30).json()
    return found


LONG = "amount,note\n" + "".join(f"{number},note\n" for number in range(400_000))
ONCE = {"Idempotency-Key": "once"}


def test_while_prefect_is_away_definitions_work_runs_wait_and_nothing_is_lost_or_doubled(stack: RunningStack) -> None:
    api, late = Api(stack).create(), Api(stack)
    slow = Api(stack, LONG, execution={"parallelism": 1, "batchSize": 500}).create()
    first = api.start()
    assert api.finished(first)["rowsOut"] == 2
    running = slow.start()
    eventually(lambda: slow.progress(running)["status"] == "running" or None)
    asked = {
        "run": (f"/pipelines/{api.pipeline}/run", None),
        "retry": (f"/pipelines/{api.pipeline}/runs/{first}/retry", None),
        "cancel": (f"/pipelines/{slow.pipeline}/runs/{running}/cancel", None),
        "save": ("/pipelines", late.body),
    }
    with prefect_frozen(stack), ThreadPoolExecutor(len(asked)) as pool:
        # concurrently: each waits until the API's request to Prefect times out
        waiting = {
            name: pool.submit(api.post, path, json=body, headers=ONCE, timeout=60)
            for name, (path, body) in asked.items()
        }
        assert api.get(f"/pipelines/{api.pipeline}").json()["lastRunStatus"] == "completed_with_errors"
        assert api.get("/connectors").status_code == api.get("/schemas").status_code == 200
        assert api.progress(first)["rowsOut"] == 2
        assert api.get("/readyz").json()["error"]["details"][0]["path"] == "prefect"
        answers = {name: each.result() for name, each in waiting.items()}
    saved = answers.pop("save")
    for answer in answers.values():
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.json()["error"]["code"] == "unavailable"
    assert saved.status_code == 201, saved.text
    late.pipeline = saved.json()["id"]

    eventually(lambda: api.get("/readyz").status_code == 200 or None)
    [deployment] = eventually(lambda: deployments(stack, late.pipeline) or None)
    assert deployment["name"] == late.name
    assert late.run()["rowsOut"] == 2
    # the server may have processed the queued request when it continued; the retry returns the same run
    again = api.post(f"/pipelines/{api.pipeline}/run", headers=ONCE).json()["id"]
    assert api.finished(again)["status"] == "completed_with_errors"
    assert api.rows() == [(1, "a"), (1, "a"), (2, "b"), (2, "b")]
    assert len(deployments(stack, late.pipeline)) == 1
    assert slow.finished(running)["status"] in ("completed", "failed")
    for each in (api, late, slow):
        each.close()
