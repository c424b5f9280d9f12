"""Table locks with a short timeout and retries, so that a waiting lock does not block other sessions."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import sql

from headrace.connectors.errors import TargetError

LOCK_WAIT_S = 900.0
"""Seconds after which it gives up."""

_LOCK_TIMEOUT = "1s"
_PAUSE_S = 1.0

_HOLDERS = """
SELECT DISTINCT a.pid, coalesce(nullif(a.application_name, ''), a.usename::text, 'a session'), a.xact_start::text
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.relation = to_regclass(%s) AND l.granted AND a.pid <> pg_backend_pid() ORDER BY 3
"""

T = TypeVar("T")


def with_lock_retries(
    connection: psycopg.Connection[Any],
    table: sql.Identifier,
    work: Callable[[], T],
    *,
    patience: float = LOCK_WAIT_S,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Calls `work` under a savepoint of the open transaction until it gets its locks within a second each. Raises
    TargetError(`table_busy`), which names the holders of `table` (qualified), after `patience` seconds."""
    deadline = time.monotonic() + patience
    row = connection.execute("SELECT current_setting('lock_timeout')").fetchone()
    assert row is not None
    while True:
        try:
            with connection.transaction():
                connection.execute("SELECT set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
                done = work()
                connection.execute("SELECT set_config('lock_timeout', %s, true)", (row[0],))
                return done
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() >= deadline:
                name = table.as_string(connection)
                held = [f"{who} (pid {pid}, since {since})" for pid, who, since in connection.execute(_HOLDERS, [name])]
                raise TargetError(
                    "table_busy",
                    f"{name} could not be locked within {patience:,.0f} s; "
                    f"it is used by {', '.join(held) or 'other transactions'}.",
                    "End what holds it, or load when nobody uses it, and retry.",
                ) from None
        sleep(_PAUSE_S)


def lock_table(
    connection: psycopg.Connection[Any], table: sql.Identifier, mode: LiteralString, *, patience: float = LOCK_WAIT_S
) -> None:
    """Locks the table in this mode until the end of the transaction, with retries. Raises TargetError(`table_busy`)."""
    statement = sql.SQL("LOCK TABLE {} IN " + mode + " MODE").format(table)
    with_lock_retries(connection, table, lambda: connection.execute(statement), patience=patience)
