"""Waiting for a lock on a table without making everybody wait behind us.

A statement that waits for a strong lock holds up all that come after it, readers too. So it waits shortly, lets the
queue pass, and tries again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import sql

from connectors.base import TargetError

PATIENCE_S = 900.0
"""How long a table is tried for in all."""

_LOCK_TIMEOUT = "1s"
_PAUSE_S = 1.0

_HOLDERS = """
SELECT DISTINCT a.pid, coalesce(nullif(a.application_name, ''), a.usename::text, 'a session'), a.xact_start::text
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.relation = to_regclass(%s) AND l.granted AND a.pid <> pg_backend_pid() ORDER BY 3
"""

T = TypeVar("T")


def patiently(
    connection: psycopg.Connection[Any],
    table: sql.Identifier,
    work: Callable[[], T],
    *,
    patience: float = PATIENCE_S,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Does the work under a savepoint of the open transaction, again and again until no lock stands in its way for
    longer than a second. Raises TargetError(`table_busy`) that names who had `table` (qualified) after `patience`
    seconds."""
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
                    f"{name} could not be had for a moment within {patience:,.0f} s; "
                    f"it is used by {', '.join(held) or 'other transactions'}.",
                    "End what holds it, or load when nobody uses it, and retry.",
                ) from None
        sleep(_PAUSE_S)


def lock_table(
    connection: psycopg.Connection[Any], table: sql.Identifier, mode: LiteralString, *, patience: float = PATIENCE_S
) -> None:
    """Locks the table in this mode until the end of the transaction; see `patiently`."""
    statement = sql.SQL("LOCK TABLE {} IN " + mode + " MODE").format(table)
    patiently(connection, table, lambda: connection.execute(statement), patience=patience)
