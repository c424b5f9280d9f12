"""Servers for the tests that need one: each is started once per session, on first use, and always stopped."""

from __future__ import annotations

import gc
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest
from hypothesis import HealthCheck, settings

from deployments.stack.environment import base_environment
from deployments.stack.postgres import DISPOSABLE, EmbeddedPostgres, ensure_database
from deployments.stack.process import die_with_parent
from deployments.stack.state import StackState

if TYPE_CHECKING:
    from tests.object_store import ObjectStore

HEADRACE = (sys.executable, "-P", "-m", "deployments.cli")
_STACK_SECONDS = 150
_MEMORY, _ENOUGH_BYTES = Path("/dev/shm"), 4 * 1024**3


# No test is timed, not even in making up its data: the machine may be busy.
settings.register_profile("headrace", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("headrace")


def pytest_collection_finish() -> None:
    """What is imported by now stays: the collector need not walk through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """One embedded PostgreSQL that keeps nothing: in memory, where there is enough of it."""
    # Not pytest's own temp folders: those are private to this user, and as root PostgreSQL runs as another one.
    memory = _MEMORY if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ENOUGH_BYTES else None
    folder = Path(tempfile.mkdtemp(prefix="headrace-", dir=memory))
    server = EmbeddedPostgres(folder / "postgres", folder / "postgresql.log", DISPOSABLE)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url(postgres_server: EmbeddedPostgres) -> str:
    """The libpq URL of a database shared by the session's tests."""
    ensure_database(postgres_server.url("postgres"), "headrace_tests")
    return postgres_server.url("headrace_tests")


_EMPTIED = """
DO $$ DECLARE name text; BEGIN
  FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema$)' LOOP
    EXECUTE format('DROP SCHEMA %I CASCADE', name);
  END LOOP;
  EXECUTE format('ALTER DATABASE %I RESET ALL', current_database());
END $$;
CREATE SCHEMA public AUTHORIZATION pg_database_owner;
GRANT USAGE ON SCHEMA public TO PUBLIC;
"""


@pytest.fixture
def database_url(postgres_server: EmbeddedPostgres) -> str:
    """The libpq URL of an empty database for this test alone: always the same one, emptied (making one takes a hundred
    times as long)."""
    ensure_database(postgres_server.url("postgres"), "headrace_test")
    url = postgres_server.url("headrace_test")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        connection.execute(_EMPTIED)
    return url


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """One S3 emulator; every test has a prefix of its own."""
    from tests.object_store import ObjectStore  # it takes a second to import

    store = ObjectStore()
    try:
        yield store
    finally:
        store.close()


@dataclass(frozen=True)
class RunningStack:
    """A whole stack: where it can be reached, and the folder it lives in."""

    data_dir: Path
    api_url: str
    """With its base path: `…/api/v1`."""
    api_key: str
    prefect_url: str
    prefect_api_url: str
    database_url: str
    files_root: Path
    pid: int


@pytest.fixture(scope="session")
def stack() -> Iterator[RunningStack]:
    """The real whole stack, started as a user starts it: PostgreSQL, Prefect, a worker and the facade."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-stack-"))
    log = folder / "up.log"
    with log.open("wb") as output:
        supervisor = subprocess.Popen(
            [*HEADRACE, "up", "--data-dir", str(folder / "data"), "--port", "0", "--prefect-port", "0"],
            cwd=folder,
            env=base_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # In the foreground and tied to this process: however the tests end, nothing of it stays.
            preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509
        )
    try:
        state = _wait_for(folder / "data" / "stack.json", supervisor, log)
        yield RunningStack(folder / "data", **{name: getattr(state, name) for name in StackState.__dataclass_fields__})
    finally:
        supervisor.terminate()
        try:
            supervisor.wait(_STACK_SECONDS)
        except subprocess.TimeoutExpired:
            supervisor.kill()
            supervisor.wait()
        shutil.rmtree(folder, ignore_errors=True)


def command_of(process: psutil.Process) -> list[str]:
    """Its command line, which is empty when it has ended since it was found."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # a zombie's error is one, too
        return []


def _wait_for(path: Path, supervisor: subprocess.Popen[bytes], log: Path) -> StackState:
    deadline = time.monotonic() + _STACK_SECONDS
    while time.monotonic() < deadline and supervisor.poll() is None:
        state = StackState.read(path)
        if state is not None:
            return state
        time.sleep(0.05)
    raise AssertionError(f"the stack did not start:\n{log.read_text()}")
