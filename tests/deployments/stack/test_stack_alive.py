"""A running stack survives the death of its components, and a second stack."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.conftest import RunningStack, command_of
from tests.deployments.stacks import headrace, processes_of
from tests.rest import ask, eventually

pytestmark = pytest.mark.stack


@pytest.mark.timeout(400)
def test_a_part_that_dies_is_started_again(stack: RunningStack) -> None:
    headers = {"X-API-Key": stack.api_key}
    log = stack.data_dir.parent / "up.log"
    before = len(log.read_text())

    def reported() -> str:
        return log.read_text()[before:]

    def kill(what: str) -> None:
        victim = next(each for each in processes_of(stack) if what in " ".join(command_of(each)))
        victim.send_signal(signal.SIGKILL)
        victim.wait(60)

    for what, line in (
        ("headrace.deployments.worker --pool", "The worker was killed by SIGKILL and was started again"),
        ("headrace.deployments.stack.prefect_server", "The Prefect server was killed by SIGKILL and was started again"),
        ("postgres -D", "PostgreSQL ended and was started again"),
        ("headrace.api.server", "The facade was killed by SIGKILL and was started again"),
    ):
        if what == "headrace.api.server":  # its second death must be seen soon: nobody may be waiting for Prefect then
            eventually(lambda: answers(f"{stack.prefect_api_url}/ready", {}) or None)
        kill(what)
        eventually(lambda line=line: line in reported() or None)
    kill("headrace.api.server")  # before it has lived for long
    eventually(lambda: "SIGKILL (2 times in a row: see" in reported() or None)
    eventually(lambda: answers(f"{stack.api_url}/pipelines", headers) or None)
    assert "Traceback" not in reported()


def answers(url: str, headers: dict[str, str]) -> bool:
    with suppress(httpx.HTTPError):
        return ask("GET", url, headers=headers).status_code == 200
    return False


def test_one_folder_has_one_stack(stack: RunningStack) -> None:
    done = headrace("up", "--data-dir", str(stack.data_dir), "--port", "0", "--prefect-port", "0")
    assert done.returncode == 1
    assert f"already runs on {stack.data_dir} (process {stack.pid}" in done.stderr
    assert ask("GET", f"{stack.api_url}/pipelines", headers={"X-API-Key": stack.api_key}).status_code == 200


def test_a_taken_port_is_said_before_anything_starts(stack: RunningStack, tmp_path: Path) -> None:
    taken = stack.prefect_url.rpartition(":")[2]
    for flag, other in (("--port", "--prefect-port"), ("--prefect-port", "--port")):
        done = headrace("up", "--data-dir", str(tmp_path), flag, taken, other, "0", "--detach")
        assert done.returncode == 1
        assert f"Port {taken}" in done.stderr
        assert f"with {flag} " in done.stderr
    assert not (tmp_path / "postgres").exists()
