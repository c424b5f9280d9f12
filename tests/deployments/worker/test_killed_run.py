"""A run whose process is killed, as the kernel kills it when memory runs out."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from tests.conftest import RunningStack
from tests.rest import Api, eventually

pytestmark = pytest.mark.stack


def flow_run(api: Api, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = api.stack.prefect.get(f"/flow_runs/{run_id.removeprefix('run_')}").json()
    return found


def test_a_run_killed_by_the_kernel_says_what_it_most_likely_died_of(stack: RunningStack) -> None:
    text = "amount,note\n" + "".join(f"{number},a note of some length\n" for number in range(300_000))
    api = Api(stack, text, execution={"parallelism": 1, "batchSize": 500}).create()
    reasons = [killed(api)]
    while "node '" not in reasons[-1] and len(reasons) < 5:  # between two batches no node is at work
        reasons.append(killed(api))
    assert all("SIGKILL" in reason and "ran out of memory" in reason for reason in reasons)
    assert "node '" in reasons[-1]


def killed(api: Api) -> str:
    """The reason of a new run that is killed while it loads."""
    run_id = api.start()
    pid = eventually(lambda: flow_run(api, run_id)["infrastructure_pid"])
    eventually(lambda: api.progress(run_id)["rowsOut"] or None)
    os.kill(int(pid.rpartition(":")[2]), signal.SIGKILL)  # as the kernel does
    assert api.finished(run_id)["status"] == "failed"
    return str(api.detail(run_id)["failureReason"])
