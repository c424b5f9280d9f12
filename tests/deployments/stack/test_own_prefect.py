"""A Prefect server of other origin, without credentials, can be used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from headrace.deployments.prefect.api import PrefectApi
from headrace.deployments.prefect.orchestrator import Orchestrator, RegisteredPipeline
from headrace.deployments.stack.environment import asyncpg_url, base_environment, prefect_client_environment
from headrace.deployments.stack.lost_runs import ensure_lost_run_automation
from headrace.deployments.stack.ports import choose_port
from headrace.deployments.stack.process import die_with_parent
from tests.databases import Roles
from tests.rest import ask, eventually

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(400)]


@pytest.fixture
def own(roles: Roles, tmp_path: Path) -> Iterator[PrefectApi]:
    """`prefect server start`, as it comes."""
    port = choose_port("127.0.0.1", 0, "--port")
    api = PrefectApi(f"http://127.0.0.1:{port}/api")
    environment = base_environment() | prefect_client_environment(tmp_path / "server", api)
    environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = asyncpg_url(roles.superuser)  # its database, not ours
    command = [sys.executable, "-P", "-m", "prefect", "server", "start", "--port", str(port)]
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command,
            env=environment,
            cwd=tmp_path,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509
        )
    try:
        eventually(lambda: _answers(api))
        yield api
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _answers(api: PrefectApi) -> bool | None:
    try:
        return ask("GET", f"{api.url}/ready", timeout=5).is_success or None
    except httpx.HTTPError:
        return None


@pytest.mark.slow
def test_it_takes_pipelines_and_our_worker_takes_their_runs(own: PrefectApi, tmp_path: Path) -> None:
    assert PrefectApi.of(own.url, {}) == own
    ensure_lost_run_automation(own)
    environment = base_environment() | prefect_client_environment(tmp_path / "worker", own)
    read_end, write_end = os.pipe()
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "headrace.deployments.worker",
                "--pool",
                "headrace",
                "--ready-fd",
                str(write_end),
            ],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[write_end],
            preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509
        )
    os.close(write_end)
    with closing(Orchestrator(own)) as orchestrator, os.fdopen(read_end, "rb") as pipe:
        try:
            assert pipe.read(1) == b"1", (tmp_path / "worker.log").read_text()
            assert orchestrator.healthy()
            deployment = orchestrator.register(RegisteredPipeline("pipe_1", "Orders", "default"))
            run_id = orchestrator.start(deployment, parameters={}, idempotency_key=None).run_id

            def ended() -> str | None:
                state = orchestrator.state(run_id)
                assert state is not None
                return state.failure_reason

            # It was begun: what it misses is the catalog.
            assert "HEADRACE_DATABASE_URL" in eventually(ended) or "database_url" in eventually(ended)
        finally:
            worker.terminate()
            worker.wait(90)
