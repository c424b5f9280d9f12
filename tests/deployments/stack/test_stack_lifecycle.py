"""The start and stop of a stack."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from headrace.catalog.security.credentials import Keyring
from headrace.catalog.security.database_roles import PREFECT
from headrace.deployments.stack.environment import base_environment
from headrace.deployments.stack.state import StackState
from tests.conftest import HEADRACE
from tests.databases import stack_login
from tests.deployments.stacks import headrace, processes_of
from tests.rest import ask

pytestmark = [pytest.mark.stack, pytest.mark.own_stack]

GONE_SECONDS = 90
PASSWORD = "hunter2"


def start(data: Path, **environment: str) -> StackState:
    done = headrace("up", "--data-dir", str(data), "--port", "0", "--prefect-port", "0", "--detach", **environment)
    assert done.returncode == 0, done.stderr
    state = StackState.read(data / "stack.json")
    assert state is not None
    return state


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
    folder = Path(tempfile.mkdtemp(prefix="headrace life "))
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
    made = ask("POST", f"{state.api_url}/connectors", json=body, headers=headers)
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
@pytest.mark.slow
def test_it_serves_and_leaves_nothing_however_it_ends(data: Path) -> None:
    state = start(data)
    processes = processes_of(state)
    assert stat.S_IMODE((data / "stack.json").stat().st_mode) == 0o600
    assert ask("GET", f"{state.api_url}/pipelines").status_code == 401
    assert ask("GET", f"{state.api_url}/pipelines", headers={"X-API-Key": state.api_key}).status_code == 200
    with psycopg.connect(stack_login(data, state.database_url, PREFECT, "headrace_prefect")) as connection:
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


@pytest.mark.slow
def test_a_postgresql_of_ones_own_is_used_instead(data: Path, superuser_url: str, postgres_server: Any) -> None:
    state = start(data, HEADRACE_DATABASE_URL=superuser_url)
    assert state.database_url == superuser_url
    assert not (data / "postgres").exists()
    assert ask("GET", f"{state.api_url}/pipelines", headers={"X-API-Key": state.api_key}).status_code == 200
    assert headrace("down", "--data-dir", str(data)).returncode == 0
    with psycopg.connect(superuser_url, autocommit=True) as connection:  # it goes on, and holds Prefect's database too
        connection.execute(f"DROP DATABASE {connection.info.dbname}_prefect WITH (FORCE)")


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
