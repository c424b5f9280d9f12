"""A run whose process was killed is marked as crashed by the automation that the stack creates."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from deployments.stack.environment import base_environment
from deployments.stack.zombies import NAME, zombie_automation
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


def beat(url: str, run_id: str) -> None:
    """A heartbeat, as the run's process would send it."""
    event = {
        "occurred": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "event": "prefect.flow-run.heartbeat",
        "resource": {"prefect.resource.id": f"prefect.flow-run.{run_id}"},
        "id": str(uuid4()),
    }
    assert httpx.post(f"{url}/events", json=[event], timeout=30).is_success


def test_the_stack_has_it(stack: RunningStack) -> None:
    wanted = {"automations": {"name": {"any_": [NAME]}}}
    [found] = httpx.post(f"{stack.prefect_api_url}/automations/filter", json=wanted, timeout=30).json()
    assert found["enabled"]
    assert found["trigger"]["within"] == 90
    assert found["trigger"]["match"] == {"prefect.resource.id": ["prefect.flow-run.*"]}


def test_a_killed_run_is_marked_as_crashed(stack: RunningStack, tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    environment = base_environment() | {
        "PREFECT_API_URL": stack.prefect_api_url,
        "PREFECT_HOME": str(tmp_path),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    }
    url = stack.prefect_api_url
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "sleeper.py")], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        automation = zombie_automation(name=f"test {uuid4().hex[:6]}", silence_s=SILENCE_S, runs=run_id)
        made = httpx.post(f"{url}/automations/", json=automation, timeout=30).json()
        time.sleep(2)  # the server's triggers take it up from a message
        # The first heartbeat was sent before the automation was there; this is the second.
        beat(url, run_id)
        last = time.monotonic()
        process.send_signal(signal.SIGKILL)
        process.wait()

        def ended() -> dict[str, Any] | None:
            nonlocal last
            if time.monotonic() - last > 3 * SILENCE_S:  # it came before the automation was taken up
                beat(url, run_id)
                last = time.monotonic()
            state: dict[str, Any] = httpx.get(f"{url}/flow_runs/{run_id}", timeout=30).json()["state"]
            return state if state["type"] != "RUNNING" else None

        state = eventually(ended)
        assert (state["type"], state["message"]) == (
            "CRASHED",
            f"The run's process sent no heartbeat for {SILENCE_S} s.",
        )
        httpx.delete(f"{url}/automations/{made['id']}", timeout=30)
    finally:
        process.kill()
        process.wait()
