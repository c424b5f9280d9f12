"""Retries of a run's database work after transient errors, such as refused connections."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from headrace.catalog.engine import make_engine
from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.connections import CONNECT_WAIT_S, connect, wait_for_connections
from headrace.connectors.postgresql.copy.copy_rows import is_transient
from headrace.connectors.postgresql.error_messages import error_message, is_temporary_refusal
from headrace.flows.runtime.errors import RunFailed

T = TypeVar("T")

_POOL = 3
"""Pool size, plus as many overflow connections. There are many runs, and each runs one short statement at a time."""
_ATTEMPTS, _LONGEST_PAUSE_S = 8, 10.0


def retrying_engine(url: str, run_id: str | None, warn: Callable[[str], None]) -> Engine:
    """An engine for a run's access to the catalog. Also makes all connections of this process wait for a database that
    refuses them; `warn` is called with a message when one waits. `run_id` becomes the application name of its
    sessions."""
    wait_for_connections(warn=warn, run_id=run_id)
    return make_engine(url, pool_size=_POOL, pool_timeout_s=CONNECT_WAIT_S, opened=connect)


async def with_database_retries(work: Callable[..., T], *arguments: Any, warn: Callable[[str], None]) -> T:
    """Runs `work` in a thread, again after a transient database error. `work` must be idempotent. Raises RunFailed when
    the database keeps failing."""
    deadline = time.monotonic() + CONNECT_WAIT_S
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return await asyncio.to_thread(work, *arguments)
        except (psycopg.Error, DBAPIError, PoolTimeout, TargetError) as error:
            if not _is_transient(error):
                raise
            if attempt == _ATTEMPTS or time.monotonic() > deadline:
                raise RunFailed(
                    f"The database failed {attempt} times in a row, last with: {_sentence(error)}"
                ) from error
            warn(f"{_sentence(error)}; the run tries again")
            pause = min(_LONGEST_PAUSE_S, 0.25 * 2**attempt)
            await asyncio.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311 - spreads retries apart
    raise AssertionError("attempts is at least 1")


def _sentence(error: BaseException) -> str:
    return str(error) if isinstance(error, TargetError) else error_message(error)


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, TargetError):
        cause = error.__cause__ or error.__context__  # a rejected login is not transient
        return (
            error.code == "database_unreachable"
            and cause is not None
            and (is_temporary_refusal(cause) or _server_said_transient(cause))
        )
    if isinstance(error, DBAPIError):
        return isinstance(error.orig, BaseException) and (
            is_temporary_refusal(error.orig) or _server_said_transient(error.orig)
        )
    return isinstance(error, PoolTimeout) or is_temporary_refusal(error) or _server_said_transient(error)


def _server_said_transient(error: BaseException) -> bool:
    """Whether the error is a transient error reported by the server."""
    return isinstance(error, psycopg.Error) and error.sqlstate is not None and is_transient(error)
