"""A run whose process was killed is marked as crashed by the automation that the stack creates."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from headrace.deployments.stack.environment import base_environment
from headrace.deployments.stack.lost_runs import AUTOMATION_NAME, lost_run_automation
from tests.conftest import RunningStack
from tests.rest import eventually

pytestmark = pytest.mark.stack

# Longer than a message needs, shorter than the 30 s between two heartbeats.
SILENCE_S = 12

SLEEPER = """
import time
from prefect import flow, runtime

@flow
def sleeper():
    print(runtime.flow_run.id, flush=True)
    time.sleep(600)

sleeper()
"""


def beat(stack: RunningStack, run_id: str) -> None:
    """A heartbeat, as the run's process would send it."""
    event = {
        "occurred": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "event": "prefect.flow-run.heartbeat",
        "resource": {"prefect.resource.id": f"prefect.flow-run.{run_id}"},
        "id": str(uuid4()),
    }
    assert stack.prefect.post("/events", json=[event], timeout=30).is_success


def test_the_stack_has_it(stack: RunningStack) -> None:
    wanted = {"automations": {"name": {"any_": [AUTOMATION_NAME]}}}
    [found] = stack.prefect.post("/automations/filter", json=wanted, timeout=30).json()
    assert found["enabled"]
    assert found["trigger"]["within"] == 90
    assert found["trigger"]["match"] == {"prefect.resource.id": ["prefect.flow-run.*"]}


def test_a_killed_run_is_marked_as_crashed(stack: RunningStack, tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    environment = base_environment() | {
        **stack.prefect_api.environment,
        "PREFECT_HOME": str(tmp_path),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    }
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "sleeper.py")], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        automation = lost_run_automation(name=f"test {uuid4().hex[:6]}", silence_s=SILENCE_S, runs=run_id)
        made = stack.prefect.post("/automations/", json=automation, timeout=30).json()
        time.sleep(2)  # the server's triggers take it up from a message
        # The first heartbeat was sent before the automation was there; this is the second.
        beat(stack, run_id)
        last = time.monotonic()
        process.send_signal(signal.SIGKILL)
        process.wait()

        def ended() -> dict[str, Any] | None:
            nonlocal last
            if time.monotonic() - last > 3 * SILENCE_S:  # it came before the automation was taken up
                beat(stack, run_id)
                last = time.monotonic()
            state: dict[str, Any] = stack.prefect.get(f"/flow_runs/{run_id}", timeout=30).json()["state"]
            return state if state["type"] != "RUNNING" else None

        state = eventually(ended)
        assert (state["type"], state["message"]) == (
            "CRASHED",
            f"The run's process sent no heartbeat for {SILENCE_S} s.",
        )
        stack.prefect.delete(f"/automations/{made['id']}", timeout=30)
    finally:
        process.kill()
        process.wait()
