"""A stack from start to end, and through the deaths of its parts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from catalog.credentials import Keyring
from deployments.stack.environment import base_environment
from deployments.stack.state import StackState
from tests.conftest import command_of
from tests.rest import eventually

pytestmark = pytest.mark.stack

HEADRACE = (sys.executable, "-P", "-m", "deployments.cli")
GONE_SECONDS = 90
PASSWORD = "hunter2"


def headrace(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HEADRACE, *arguments],
        env=base_environment() | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )


def start(data: Path, **environment: str) -> StackState:
    done = headrace("up", "--data-dir", str(data), "--port", "0", "--prefect-port", "0", "--detach", **environment)
    assert done.returncode == 0, done.stderr
    state = StackState.read(data / "stack.json")
    assert state is not None
    return state


def processes_of(state: StackState) -> list[psutil.Process]:
    supervisor = psutil.Process(state.pid)
    return [supervisor, *supervisor.children(recursive=True)]


def all_end(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=GONE_SECONDS)
    return not [each for each in alive if _goes_on(each)]


def _goes_on(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


@pytest.fixture
def data() -> Iterator[Path]:
    """A data folder that PostgreSQL's account can reach; whatever still runs on it is stopped."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-life-"))
    yield folder / "data"
    headrace("down", "--data-dir", str(folder / "data"))
    shutil.rmtree(folder, ignore_errors=True)


def encryption_keys(data: Path) -> list[str]:
    keys: list[str] = json.loads((data / "secrets.json").read_text())["encryptionKeys"]
    return keys


def keeps_a_password(state: StackState) -> str:
    """The id of a connector that has been given one."""
    config = {"host": "db.example.com", "port": 5432, "database": "d"}
    body = {"name": "db", "type": "postgresql", "config": config, "authConfig": {"password": PASSWORD}}
    headers = {"X-API-Key": state.api_key}
    made = httpx.post(f"{state.api_url}/connectors", json=body, headers=headers, timeout=30)
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


def has_its_password(data: Path, state: StackState, connector: str) -> bool:
    """Whether what the catalog keeps of the connector's credentials opens with the stack's keys."""
    with psycopg.connect(state.database_url) as connection:
        row = connection.execute("SELECT auth_sealed FROM headrace.connectors WHERE id = %s", (connector,)).fetchone()
    assert row is not None
    keyring = Keyring.parse(",".join(encryption_keys(data)))
    return keyring.unseal(row[0], connector_id=connector) == {"password": PASSWORD}


@pytest.mark.timeout(400)
def test_it_serves_and_leaves_nothing_behind_however_it_ends(data: Path) -> None:
    state = start(data)
    processes = processes_of(state)
    assert stat.S_IMODE((data / "stack.json").stat().st_mode) == 0o600
    assert httpx.get(f"{state.api_url}/pipelines", timeout=30).status_code == 401
    assert httpx.get(f"{state.api_url}/pipelines", headers={"X-API-Key": state.api_key}, timeout=30).status_code == 200
    with psycopg.connect(state.database_url.replace("/headrace?", "/headrace_prefect?")) as connection:
        found = connection.execute("SELECT count(*) FROM automation WHERE enabled AND name LIKE 'headrace%'").fetchone()
    assert found == (1,)

    connector = keeps_a_password(state)
    [old] = encryption_keys(data)
    assert headrace("keys", "rotate-encryption", "--data-dir", str(data)).returncode == 0
    [new, kept] = encryption_keys(data)
    assert kept == old
    os.kill(state.pid, signal.SIGKILL)
    assert all_end(processes)
    assert (data / "stack.json").exists()  # nobody was left to remove it

    second = start(data)
    assert second.pid != state.pid
    assert second.api_key == state.api_key
    assert encryption_keys(data) == [new]  # nothing is sealed with the old one any more
    assert has_its_password(data, second, connector)
    for log in (data / "logs").iterdir():
        assert PASSWORD not in log.read_text(errors="replace")
    processes = processes_of(second)
    done = headrace("down", "--data-dir", str(data))
    assert (done.returncode, "stopped the stack" in done.stdout) == (0, True)
    assert all_end(processes)
    assert not (data / "stack.json").exists()
    assert "no stack runs" in headrace("down", "--data-dir", str(data)).stdout


@pytest.mark.timeout(400)
def test_a_part_that_dies_is_started_again(data: Path) -> None:
    state = start(data)
    headers = {"X-API-Key": state.api_key}
    log = data / "logs" / "supervisor.log"

    def kill(what: str) -> None:
        victim = next(each for each in processes_of(state) if what in " ".join(command_of(each)))
        victim.send_signal(signal.SIGKILL)
        victim.wait(60)

    for what, told in (
        ("deployments.worker --pool", "The worker was killed by SIGKILL and was started again"),
        ("deployments.stack.prefect_server", "The Prefect server was killed by SIGKILL and was started again"),
        ("postgres -D", "PostgreSQL ended and was started again"),
        ("api.app:create_app", "The facade was killed by SIGKILL and was started again"),
    ):
        if "api.app" in what:  # its second death must be seen soon: nobody may be waiting for Prefect then
            eventually(lambda: answers(f"{state.prefect_api_url}/ready", {}) or None)
        kill(what)
        eventually(lambda told=told: told in log.read_text() or None)
    kill("api.app:create_app")  # before it has lived for long
    eventually(lambda: "SIGKILL (2 times in a row: see" in log.read_text() or None)
    eventually(lambda: answers(f"{state.api_url}/pipelines", headers) or None)
    assert "Traceback" not in log.read_text()


def answers(url: str, headers: dict[str, str]) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(url, headers=headers, timeout=30).status_code == 200
    return False


def test_a_postgresql_of_ones_own_is_used_instead(data: Path, database_url: str, postgres_server: Any) -> None:
    state = start(data, HEADRACE_DATABASE_URL=database_url)
    assert state.database_url == database_url
    assert not (data / "postgres").exists()
    assert httpx.get(f"{state.api_url}/pipelines", headers={"X-API-Key": state.api_key}, timeout=30).status_code == 200
    assert headrace("down", "--data-dir", str(data)).returncode == 0
    with psycopg.connect(database_url, autocommit=True) as connection:  # it goes on, and holds Prefect's database too
        connection.execute(f"DROP DATABASE {connection.info.dbname}_prefect WITH (FORCE)")


def test_one_folder_has_one_stack(stack: Any) -> None:
    done = headrace("up", "--data-dir", str(stack.data_dir), "--port", "0", "--prefect-port", "0")
    assert done.returncode == 1
    assert f"already runs on {stack.data_dir} (process {stack.pid}" in done.stderr
    assert httpx.get(f"{stack.api_url}/pipelines", headers={"X-API-Key": stack.api_key}, timeout=30).status_code == 200


def test_a_taken_port_is_said_before_anything_starts(stack: Any, data: Path) -> None:
    taken = stack.prefect_url.rpartition(":")[2]
    for flag, other in (("--port", "--prefect-port"), ("--prefect-port", "--port")):
        done = headrace("up", "--data-dir", str(data), flag, taken, other, "0", "--detach")
        assert done.returncode == 1
        assert f"Port {taken}" in done.stderr
        assert f"with {flag} " in done.stderr
    assert not (data / "postgres").exists()


def test_an_interrupted_start_stops_what_had_begun(data: Path) -> None:
    with subprocess.Popen(
        [*HEADRACE, "up", "--data-dir", str(data), "--port", "0", "--prefect-port", "0", "--detach"],
        env=base_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as starting:
        assert starting.stdout is not None
        assert b"PostgreSQL" in starting.stdout.readline()
        parts = [each for each in psutil.Process(starting.pid).children(recursive=True) if each.is_running()]
        assert len(parts) >= 2
        starting.send_signal(signal.SIGINT)
        assert starting.wait(GONE_SECONDS) == 130
    assert all_end(parts)
    assert not (data / "stack.json").exists()
