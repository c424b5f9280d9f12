"""The patches of Prefect's server: the same answers with fewer SQL statements."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.ext.asyncio import create_async_engine

from headrace.catalog.security.database_roles import PREFECT
from headrace.deployments.stack import prefect_patches
from headrace.deployments.stack.environment import asyncpg_url, base_environment
from tests.conftest import RunningStack
from tests.databases import stack_login
from tests.rest import Api

_READ = """
import asyncio, json, sys
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from prefect.server import models, schemas
from headrace.deployments.stack.prefect_patches import patch_prefect

url, how, *ids = sys.argv[1:]
if how == "spared":
    patch_prefect()

async def main():
    engine = create_async_engine(url)
    sent = []
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *given: sent.append(given[2]))
    read = []
    for deployment_id in ids:
        async with AsyncSession(engine) as session:
            found = await models.deployments.read_deployment(session=session, deployment_id=deployment_id)
            read.append(schemas.responses.DeploymentResponse.model_validate(found, from_attributes=True))
    async with AsyncSession(engine) as session:
        removed = [
            await models.deployments.delete_schedules_for_deployment(session=session, deployment_id=deployment_id)
            for deployment_id in ids
        ]
        await session.rollback()
    await engine.dispose()
    shown = [each.model_dump(mode="json", exclude={"status", "last_polled"}) for each in read]  # a worker polls
    print(json.dumps([len(sent), shown, removed]))

asyncio.run(main())
"""


def _prefects(stack: RunningStack) -> str:
    return asyncpg_url(stack_login(stack.data_dir, stack.database_url, PREFECT, "headrace_prefect"))


@pytest.mark.stack
@pytest.mark.slow
def test_a_deployment_is_read_as_prefect_reads_it_with_fewer_statements(stack: RunningStack) -> None:
    scheduled, other = Api(stack), Api(stack)
    scheduled.body["schedule"] = "5 4 * * *"
    ids = [api.create().deployment() for api in (scheduled, other)]

    def read(how: str) -> Any:
        command = [sys.executable, "-P", "-c", _READ, _prefects(stack), how, *ids]
        return json.loads(subprocess.run(command, env=base_environment(), capture_output=True, check=True).stdout)

    (many, *stock), (few, *spared) = read("stock"), read("spared")
    assert spared == stock
    assert few < many
    first, second = spared[0]
    assert first["work_pool_name"] == "headrace"
    assert first["global_concurrency_limit"]["limit"] == 1
    assert (len(first["schedules"]), len(second["schedules"])) == (1, 0)
    assert spared[1] == [True, False]


@pytest.fixture
def pinged(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The connections that were asked whether they live."""
    seen: list[Any] = []
    ask = PGDialect_asyncpg.do_ping

    def counted(dialect: Any, connection: Any) -> Any:
        seen.append(connection)
        return ask(dialect, connection)

    monkeypatch.setattr(PGDialect_asyncpg, "do_ping", counted)
    prefect_patches.ping_idle_connections_only()
    yield seen
    monkeypatch.undo()


def _sessions(url: str, meanwhile: Callable[[int], None]) -> list[int]:
    """The backends of a few sessions, one after the other from a pool of one."""

    async def use() -> list[int]:
        engine = create_async_engine(asyncpg_url(url), pool_pre_ping=True, pool_size=1)
        pids = []
        for _ in range(4):
            async with engine.connect() as connection:
                pids.append((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())
            await asyncio.to_thread(meanwhile, pids[-1])  # the event loop goes on, as a server's does
        await engine.dispose()
        return pids

    return asyncio.run(use())


@pytest.mark.postgres
@pytest.mark.slow
def test_a_connection_that_has_just_answered_is_not_asked_again(
    database_url: str, pinged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefect_patches, "_LIVES_S", 3600.0)
    assert len(set(_sessions(database_url, lambda _: None))) == 1
    assert len(pinged) == 1  # the first session has a new one, which needs no question


@pytest.mark.postgres
@pytest.mark.parametrize("lives_s", [0.0, 3600.0])
@pytest.mark.slow
def test_one_that_was_lost_meanwhile_is_replaced(
    database_url: str, pinged: list[Any], monkeypatch: pytest.MonkeyPatch, lives_s: float
) -> None:
    def lose(pid: int) -> None:
        with psycopg.connect(database_url) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))

    monkeypatch.setattr(prefect_patches, "_LIVES_S", lives_s)
    assert len(set(_sessions(database_url, lose))) == 4
    assert len(pinged) == 3


@given(
    moment=st.datetimes(
        min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.timezones(), allow_imaginary=False
    ),
    pendulums=st.booleans(),
)
@pytest.mark.slow
def test_a_time_stays_the_moment_it_is(moment: datetime, pendulums: bool) -> None:
    from prefect.server.utilities.database import Timestamp
    from prefect.types._datetime import create_datetime_instance

    given_to_it = create_datetime_instance(moment) if pendulums else moment
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Timestamp, "process_bind_param", Timestamp.process_bind_param)
        prefect_patches.bind_plain_datetimes()
        kind: Any = Timestamp()
        written = kind.process_bind_param(given_to_it, postgresql.dialect())
        assert type(written) is datetime
        assert written.astimezone(UTC) - moment.astimezone(UTC) == timedelta(0)
        assert kind.process_bind_param(None, postgresql.dialect()) is None
        with pytest.raises(ValueError, match="timezone"):
            kind.process_bind_param(moment.replace(tzinfo=None), postgresql.dialect())
