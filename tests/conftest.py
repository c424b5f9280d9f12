"""Servers for the tests that need one: each is started once per session, on first use, and always stopped."""

from __future__ import annotations

import functools
import gc
import shutil
import signal
import socketserver
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import psycopg
import pytest
import typer.testing
from hypothesis import HealthCheck, settings

from headrace.deployments.prefect.api import PrefectApi
from headrace.deployments.stack.database.server import DISPOSABLE, EmbeddedPostgres, ensure_database
from headrace.deployments.stack.environment import base_environment
from headrace.deployments.stack.process import die_with_parent
from headrace.deployments.stack.state import StackState
from tests.databases import Roles, in_public, new_copy
from tests.distribution import arrange, scheduler
from tests.effort import examples
from tests.once import leave, once

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

    from tests.connectors.bigquery.double import Double as BigQueryDouble
    from tests.connectors.databricks.double import Double as Warehouse
    from tests.connectors.mongodb.double import Double as MongoDouble
    from tests.connectors.snowflake.double import Double
    from tests.connectors.stores.cutting import Cutting
    from tests.connectors.stores.gcs_server import GcsServer
    from tests.connectors.stores.ssh_server import SshServer
    from tests.object_store import ObjectStore

HEADRACE = (sys.executable, "-P", "-m", "headrace.deployments.cli.app")
_STACK_SECONDS = 300
_FIRST_VARIANTS = pytest.StashKey[dict[str, str]]()
_MEMORY, _ENOUGH_BYTES = Path("/dev/shm"), 4 * 1024**3


# No test is timed, not even in making up its data: the machine may be busy.
settings.register_profile(
    "headrace", deadline=None, max_examples=examples(100), suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("headrace")

# A `CliRunner` builds all commands at each call, which takes longer than most of them.
typer.testing._get_command = functools.cache(typer.main.get_command)

# Servers of `http.server` send headers and content one after the other; see tests/sockets.py.
socketserver.StreamRequestHandler.disable_nagle_algorithm = True

# Modules and tests of which most stay: looking for garbage among them takes a quarter of the time of collecting them.
gc.disable()


_DIED = pytest.StashKey[bool]()
_LAST_OF_STACK = pytest.StashKey[pytest.Item | None]()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Marks the variants of a test with `first_variant` as slow, but for the first that is not slow by itself."""
    if item.get_closest_marker("first_variant") is None or item.get_closest_marker("slow") is not None:
        return
    name = item.nodeid.partition("[")[0]
    seen = item.config.stash.setdefault(_FIRST_VARIANTS, {})
    if seen.setdefault(name, item.nodeid) != item.nodeid:
        item.add_marker(pytest.mark.slow)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:  # a stack takes as long as the machine lets it: only what hangs is to be ended
        if item.get_closest_marker("stack") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(420))
    if hasattr(config, "workerinput"):
        arrange(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return scheduler(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object | None) -> None:
    """Tests that a process had when it died have not run: the session is not whole."""
    node.config.stash[_DIED] = node.config.stash.get(_DIED, False) or error is not None


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.stash.get(_DIED, False):
        session.exitstatus = pytest.ExitCode.INTERRUPTED


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is imported by now stays: the collector need not walk through it again and again."""
    users = (item for item in reversed(session.items) if "stack" in getattr(item, "fixturenames", ()))
    session.config.stash[_LAST_OF_STACK] = next(users, None)
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Stops the stack after the last test that uses it: even when nobody asks it anything, it takes a twentieth of a
    core."""
    try:
        yield
    finally:
        if item is item.config.stash[_LAST_OF_STACK]:
            leave(item.config, started_stack)


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
def superuser_url(postgres_server: EmbeddedPostgres, request: pytest.FixtureRequest) -> str:
    """The libpq URL of a database for this test alone, always the same one: empty, or as `roles` or `migrated` have it
    where the test uses these. Of the superuser: for setting up, and for a server whose only role is a superuser."""
    if {"roles", "migrated"} & set(request.fixturenames):
        roles: Roles = request.getfixturevalue("roles")
        return roles.superuser
    ensure_database(postgres_server.url("postgres"), "headrace_test")
    url = postgres_server.url("headrace_test")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        connection.execute(_EMPTIED)
    return url


@pytest.fixture
def roles(postgres_server: EmbeddedPostgres, request: pytest.FixtureRequest) -> Roles:
    """The database under the roles of the product, with nothing in it, or with what `migrated` says."""
    return new_copy(postgres_server, "headrace_test", migrated="migrated" in request.fixturenames)


@pytest.fixture
def migrated(roles: Roles) -> Roles:
    """The database of the test, with a catalog at the newest migration that nothing is in."""
    return roles


@pytest.fixture
def database_url(roles: Roles) -> str:
    """The libpq URL under which the runs of the tenant `default` meet their tables. Names that a test does not qualify
    are in `public`, which the product's own sessions do not look into."""
    return in_public(roles.tenant)


@pytest.fixture
def owner_url(roles: Roles) -> str:
    """The libpq URL of the empty database under the login of migrations."""
    return roles.owner


@pytest.fixture(scope="session")
def ssh_server() -> Iterator[SshServer]:
    """One SFTP server; every test has an account of its own."""
    from tests.connectors.stores.ssh_server import SshServer

    server = SshServer()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def azurite_server() -> Iterator[Cutting]:
    """One emulator of Azure's blobs; every test has a prefix of its own."""
    from tests.connectors.stores.cutting import Cutting
    from tests.connectors.stores.emulators import azurite

    with azurite() as port:
        server = Cutting(port)
        try:
            yield server
        finally:
            server.close()


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[GcsServer]:
    """One emulator of Google's objects; every test has a prefix of its own."""
    from tests.connectors.stores.emulators import fake_gcs
    from tests.connectors.stores.gcs_server import GcsServer

    with fake_gcs() as port:
        server = GcsServer(port)
        try:
            yield server
        finally:
            server.close()


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """One S3 emulator; every test has a prefix of its own."""
    from tests.object_store import ObjectStore  # it takes a second to import

    store = ObjectStore()
    try:
        yield store
    finally:
        store.close()


@pytest.fixture(scope="session")
def snowflake_double(pytestconfig: pytest.Config) -> Iterator[Double]:
    """A double of a Snowflake account, whose program is installed once into pytest's cache."""
    from tests.connectors.snowflake.double import double

    assert pytestconfig.cache is not None
    with double(pytestconfig.cache.mkdir("doubles")) as account:
        yield account


@pytest.fixture(scope="session")
def mongodb_double(pytestconfig: pytest.Config) -> Iterator[MongoDouble]:
    """A double of MongoDB, whose program is installed once into pytest's cache."""
    from tests.connectors.mongodb.double import double

    assert pytestconfig.cache is not None
    with double(pytestconfig.cache.mkdir("doubles")) as server:
        yield server


@pytest.fixture(scope="session")
def bigquery_double(pytestconfig: pytest.Config) -> Iterator[BigQueryDouble]:
    """A double of BigQuery, whose program is installed once into pytest's cache."""
    from tests.connectors.bigquery.double import double

    assert pytestconfig.cache is not None
    with double(pytestconfig.cache.mkdir("doubles")) as running:
        yield running


@pytest.fixture(scope="session")
def databricks_double() -> Iterator[Warehouse]:
    """A double of a Databricks SQL warehouse, in this process."""
    from tests.connectors.databricks.double import double

    with double() as running:
        yield running


@dataclass(frozen=True)
class RunningStack:
    """A whole stack: where it can be reached, and the folder it lives in."""

    data_dir: Path
    api_url: str
    """With its base path: `…/api/v1`."""
    api_key: str
    prefect_url: str
    prefect_api_url: str
    prefect_auth_string: str
    database_url: str
    files_root: Path
    pid: int
    prefect: httpx.Client
    """Prefect's API as its owner sees it; paths are relative to it: `stack.prefect.get("/ready")`."""

    @property
    def prefect_api(self) -> PrefectApi:
        """Prefect's API, for what of ours asks it."""
        return PrefectApi(self.prefect_api_url, self.prefect_auth_string)

    @property
    def prefect_settings(self) -> dict[Any, Any]:
        """The same for Prefect's own clients in this process, for `temporary_settings`."""
        from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL

        return {PREFECT_API_URL: self.prefect_api_url, PREFECT_API_AUTH_STRING: self.prefect_auth_string}

    def prefect_client(self) -> SyncPrefectClient:
        """A client of Prefect's own."""
        from prefect.client.orchestration import SyncPrefectClient

        return SyncPrefectClient(self.prefect_api_url, auth_string=self.prefect_auth_string)


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config) -> RunningStack:
    """The real whole stack, started as a user starts it: PostgreSQL, Prefect, a worker and the facade."""
    return once(pytestconfig, started_stack)


@contextmanager
def started_stack(**environment: str) -> Iterator[RunningStack]:
    """A stack of its own, with these variables in its environment; it is stopped at the end."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-stack-"))
    log = folder / "up.log"
    with log.open("wb") as output:
        supervisor = subprocess.Popen(
            [*HEADRACE, "up", "--data-dir", str(folder / "data"), "--port", "0", "--prefect-port", "0"],
            cwd=folder,
            env=base_environment() | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # In the foreground and tied to this process: however the tests end, nothing of it stays.
            preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509
        )
    try:
        state = _wait_for(folder / "data" / "stack.json", supervisor, log)
        known = {name: getattr(state, name) for name in StackState.__dataclass_fields__}
        with state.prefect_api.client(30) as prefect:
            yield RunningStack(folder / "data", **known, prefect=prefect)
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
