"""A run whose process was killed is marked as crashed by the automation that the stack creates."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from headrace.deployments.stack.environment import base_environment
from headrace.deployments.stack.lost_runs import AUTOMATION_NAME, lost_run_automation
from tests.conftest import RunningStack
from tests.rest import Api, eventually

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


@pytest.mark.slow
def test_a_run_that_has_ended_is_not_reported_as_vanished(stack: RunningStack) -> None:
    """A heartbeat that arrives after the event of the final state, as that of a short run may."""
    with closing(Api(stack, "amount,note\n1,a\n").create()) as api:
        name = f"test {uuid4().hex[:6]}"
        made = stack.prefect.post("/automations/", json=lost_run_automation(name=name, silence_s=10), timeout=30).json()
        try:
            time.sleep(2)  # the server's triggers take it up from a message
            ended = [api.start() for _ in range(3)]
            for run_id in ended:
                assert api.finished(run_id)["status"] == "completed"
            vanished = str(uuid4())
            beat(stack, vanished)
            wanted = {
                "filter": {
                    "event": {"name": ["prefect.automation.triggered"]},
                    "resource": {"id": [f"prefect.automation.{made['id']}"]},
                }
            }

            def triggered() -> list[str] | None:
                events = stack.prefect.post("/events/filter", json=wanted, timeout=30).json()["events"]
                labels = [event["payload"]["triggering_labels"]["prefect.resource.id"] for event in events]
                return labels if f"prefect.flow-run.{vanished}" in labels else None

            # The vanished one is the last to be noticed.
            assert eventually(triggered) == [f"prefect.flow-run.{vanished}"]
        finally:
            stack.prefect.delete(f"/automations/{made['id']}", timeout=30)
