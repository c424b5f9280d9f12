"""Runs leave connections for the facade, Prefect and other tenants, wait if none is free, and report the database's
message."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Timer

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from headrace.catalog.engine import make_engine, upgrade
from headrace.catalog.runs.store import RunStore
from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.connections import ConnectionShare, connect, connection_share, wait_for_connections
from headrace.connectors.postgresql.error_messages import error_message
from headrace.connectors.postgresql.tables.describe import describe_table
from headrace.deployments.stack.database.roles import Limits
from headrace.deployments.stack.database.server import DISPOSABLE, EmbeddedPostgres
from headrace.flows.prefect.database_retries import with_database_retries
from headrace.flows.runtime.scheduler import run_in_threads
from tests.databases import Roles, with_roles
from tests.flows.runtime.loads import Loads

pytestmark = pytest.mark.postgres

_SMALL = {"max_connections": "40", "reserved_connections": "15"}
_LIMITS = Limits(owner=5, api=10, run=12, prefect=5, tenant=16)


@pytest.fixture(scope="module")
def small() -> Iterator[EmbeddedPostgres]:
    """A server with few connections."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-"))
    server = EmbeddedPostgres(folder / "data", folder / "log", {**DISPOSABLE, **_SMALL})
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def roles(small: EmbeddedPostgres) -> Roles:
    made = with_roles(small, "crowded", limits=_LIMITS)
    upgrade(made.owner)
    return made


@pytest.fixture
def patient() -> Iterator[list[str]]:
    reported: list[str] = []
    wait_for_connections(30, reported.append)
    yield reported
    wait_for_connections(0)


def taken(stack: ExitStack, url: str, most: int) -> int:
    """Opens connections until there is none left, or so many."""
    for number in range(most):
        try:
            stack.enter_context(psycopg.connect(url))
        except psycopg.OperationalError:
            return number
    return most


def test_what_runs_take_leaves_the_facade_its_connections(roles: Roles) -> None:
    others = [roles.of_tenant(f"tenant {number}") for number in range(3)]
    with ExitStack() as stack:
        assert taken(stack, roles.tenant, 100) == _LIMITS.tenant  # one tenant cannot have them all
        assert taken(stack, others[0], 100) > 0  # so that another's run finds some
        taken(stack, others[1], 100)
        assert taken(stack, others[2], 100) == 0  # the server has none left for runs
        engine = make_engine(roles.api)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 1")).scalar() == 1
        assert taken(stack, roles.api, 8) == 8
        engine.dispose()


@pytest.mark.slow
def test_256_partitions_are_as_many_as_there_are_connections_and_all_rows_arrive(roles: Roles, tmp_path: Path) -> None:
    loads = Loads(tmp_path, roles.tenant, api=roles.api, run=roles.run)
    loads.numbers(1_000_000)
    over = Event()
    crowd: list[int] = []

    def watch() -> None:
        with psycopg.connect(roles.owner, autocommit=True) as connection:
            while not over.wait(0.01):
                row = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity a JOIN pg_roles r ON r.rolname = a.usename "
                    "WHERE r.rolname LIKE 'headrace_t_%'"
                ).fetchone()
                crowd.append(row[0] if row else 0)

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        execution = loads.execution(execution={"parallelism": 256})
        totals = run_in_threads(execution)
        over.set()
        watching.result()
    assert totals.rows_out == 1_000_000
    assert execution.prepared.execution.parallelism < _LIMITS.tenant
    assert max(crowd) <= _LIMITS.tenant
    [note] = loads.recorder.said("parallelism 256 becomes")
    assert note in execution.prepared.plan.notes
    loads.close()


def test_a_run_that_finds_no_connection_waits_for_one(roles: Roles, patient: list[str]) -> None:
    with ExitStack() as stack:
        assert taken(stack, roles.tenant, 100) == _LIMITS.tenant
        freed = Timer(1.0, stack.close)
        freed.start()
        with connect(roles.tenant, autocommit=True) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        freed.join()
    assert len(patient) == 1
    assert patient[0].startswith("PostgreSQL has no connection free")


def test_nobody_else_waits(roles: Roles) -> None:
    with ExitStack() as stack:
        taken(stack, roles.tenant, 100)
        with pytest.raises(psycopg.OperationalError):
            connect(roles.tenant)


def test_a_login_that_is_refused_is_not_tried_for_long(roles: Roles, patient: list[str]) -> None:
    with pytest.raises(psycopg.OperationalError):
        connect(roles.tenant, password="another")
    assert patient == []


def test_a_run_that_meets_a_full_server_at_its_start_waits_in_the_catalog_too(roles: Roles, patient: list[str]) -> None:
    engine = make_engine(roles.run, pool_size=1, opened=connect)
    with ExitStack() as stack:
        assert taken(stack, roles.run, 100) == _LIMITS.run
        Timer(1.0, stack.close).start()
        assert RunStore(engine).planned("run_1") is False
    engine.dispose()
    assert patient


@pytest.mark.parametrize(
    ("share", "asked", "each", "given"),
    [
        (ConnectionShare(30, 100, None, 0), 256, 1, 30),
        (ConnectionShare(30, 100, None, 0), 4, 1, 4),
        (ConnectionShare(30, 100, None, 0), 256, 3, 10),
        (ConnectionShare(1, 100, None, 9), 8, 3, 1),
    ],
)
def test_a_run_gets_what_is_there_and_at_least_one(share: ConnectionShare, asked: int, each: int, given: int) -> None:
    assert share.partitions(asked, each) == given


def test_a_share_leaves_room_for_the_next_run_and_shrinks_with_others(roles: Roles) -> None:
    alone = connection_share(roles.tenant, "run_1")
    assert alone is not None
    with ExitStack() as stack:
        for number in range(4):
            stack.enter_context(psycopg.connect(roles.tenant, application_name=f"headrace run_x{number}"))
        beside = connection_share(roles.tenant, "run_1")
    assert beside is not None
    assert (alone.others, beside.others) == (0, 4)
    assert beside.connections < alone.connections <= alone.server // 2
    assert alone.server <= 40 - 15


NOT_FOR_PEOPLE = (".s.PGSQL", "/tmp", "sqlalche.me", "SELECT", "[SQL", "psycopg", "FATAL", 'socket "')


def test_errors_are_worded_for_people(roles: Roles, small: EmbeddedPostgres) -> None:
    errors: list[BaseException] = []
    with ExitStack() as stack:
        taken(stack, roles.tenant, 100)
        for attempt in (lambda: psycopg.connect(roles.tenant), lambda: describe_table(roles.tenant, "t")):
            with pytest.raises((psycopg.Error, TargetError)) as caught:
                attempt()
            errors.append(caught.value)
        engine = make_engine(roles.tenant)
        with pytest.raises(DBAPIError) as sqlalchemys, engine.connect():
            pass
        errors.append(sqlalchemys.value)
    for broken in ({"password": "x"}, {"dbname": "nowhere"}, {"host": str(small.data / "nowhere")}, {"port": "1"}):
        with pytest.raises(psycopg.OperationalError) as refused:
            psycopg.connect(roles.tenant, **broken)
        errors.append(refused.value)
    with pytest.raises(DBAPIError) as statement, make_engine(roles.api).connect() as connection:
        connection.execute(text("SELECT nothing FROM headrace.nowhere"))
    errors.append(statement.value)
    engine = make_engine(roles.api)
    with pytest.raises(DBAPIError) as gone, engine.connect() as connection:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    errors.append(gone.value)
    for error in errors:
        reported = str(error) if isinstance(error, TargetError) else error_message(error)
        assert not [each for each in NOT_FOR_PEOPLE if each in reported], reported
        assert str(small.data) not in reported
        assert "\n" not in reported
    first = [str(errors[1]), error_message(errors[0]), error_message(errors[2])]
    assert all("PostgreSQL has no connection free" in each for each in first)
    assert "lost" in error_message(errors[-1])


def test_a_start_that_loses_its_connection_is_done_again(roles: Roles, patient: list[str]) -> None:
    engine, reported, tries = make_engine(roles.run), list[str](), list[int]()

    def work() -> int:
        tries.append(1)
        with engine.connect() as connection:
            if len(tries) < 3:
                connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
            return int(connection.execute(text("SELECT 7")).scalar_one())

    assert asyncio.run(with_database_retries(work, warn=reported.append)) == 7
    assert len(tries) == 3
    assert reported == ["The connection to PostgreSQL was lost; the run tries again"] * 2
    engine.dispose()


def test_a_statement_that_is_refused_is_not_done_again(roles: Roles) -> None:
    engine, tries = make_engine(roles.run), list[int]()

    def work() -> None:
        tries.append(1)
        with engine.connect() as connection:
            connection.execute(text("SELECT * FROM headrace.api_keys"))

    with pytest.raises(DBAPIError):
        asyncio.run(with_database_retries(work, warn=lambda _: None))
    assert len(tries) == 1
    engine.dispose()
