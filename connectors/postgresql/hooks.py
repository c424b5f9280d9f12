"""Runs hooks in the target database, and records which are done.

Statements arrive as they were parsed (`ir.statements`), never as they were written. Each runs on a connection of its
own with a time limit and an empty search path; a SELECT runs in a read-only transaction.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.connections import Database, connect
from headrace.connectors.postgresql.copy.copy_rows import is_transient
from headrace.connectors.postgresql.ledger.schema import create_ledger
from headrace.connectors.postgresql.load.spec import RetryPolicy
from headrace.connectors.postgresql.tables.describe import first_line, split_name

T = TypeVar("T")

_DDL = """
CREATE TABLE IF NOT EXISTS _headrace.hooks (
  root_run_id text NOT NULL,
  target_node text NOT NULL,
  event text NOT NULL,
  position integer NOT NULL,
  fingerprint text NOT NULL,
  run_id text NOT NULL,
  done_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (root_run_id, target_node, event, position, fingerprint)
)
"""

_DONE = """
SELECT EXISTS (SELECT FROM _headrace.hooks WHERE root_run_id = %s AND target_node = %s AND event = %s
  AND position = %s AND fingerprint = %s)
"""

_MARK = """
INSERT INTO _headrace.hooks (root_run_id, target_node, event, position, fingerprint, run_id)
VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""

_VIEW = """
SELECT c.oid::bigint, c.relispopulated AND EXISTS (
  SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
    AND i.indpred IS NULL AND i.indexprs IS NULL)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND c.relkind = 'm'
"""

# What a view reads is in the dependencies of its rule; views are followed down to their tables.
_READS = """
WITH RECURSIVE reads(oid, kind) AS (
  SELECT %s::oid, 'm'::"char"
  UNION
  SELECT c.oid, c.relkind
  FROM reads r JOIN pg_rewrite w ON w.ev_class = r.oid
  JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
    AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.oid
  JOIN pg_class c ON c.oid = d.refobjid
  WHERE r.kind IN ('m', 'v')
)
SELECT n.nspname || '.' || c.relname
FROM reads r JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE r.kind NOT IN ('m', 'v')
"""


@dataclass(frozen=True, slots=True)
class HookKey:
    """One hook of one load: the root of the chain of runs, the target node, `pre_load` or `post_load`, its position in
    the list (from 0), and a digest of its content, so that a changed hook counts as another one."""

    root_run_id: str
    target_node: str
    event: str
    position: int
    fingerprint: str

    @property
    def values(self) -> tuple[str, str, str, int, str]:
        """As parameters of a statement."""
        return (self.root_run_id, self.target_node, self.event, self.position, self.fingerprint)


def create_hooks_table(connection: psycopg.Connection[Any]) -> None:
    """Creates the table of finished hooks. Concurrent calls are safe."""
    create_ledger(connection)
    there = connection.execute("SELECT to_regclass('_headrace.hooks') IS NOT NULL").fetchone()
    if there != (True,):
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (0x4EAD_400C,))
            connection.execute(_DDL)


class HookDatabase:
    """The target database for hooks. Every method opens a connection, retries transient errors, and raises
    TargetError."""

    def __init__(self, database: Database, retry: RetryPolicy, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._database, self._retry, self._sleep = database, retry, sleep

    def prepare(self) -> None:
        """Creates the table of finished hooks."""

        self._with_retries(create_hooks_table)

    def done(self, key: HookKey) -> bool:
        """Whether the hook is recorded as done."""
        return self._with_retries(lambda connection: connection.execute(_DONE, key.values).fetchone() == (True,))

    def mark(self, key: HookKey, run_id: str) -> None:
        """Records the hook as done."""
        self._with_retries(lambda connection: connection.execute(_MARK, (*key.values, run_id)))

    def query(self, statement: str, *, timeout_s: int) -> None:
        """Runs a SELECT for its errors; its rows stay on the server."""

        def run(connection: psycopg.Connection[Any]) -> None:
            self._limit(connection, timeout_s)
            connection.read_only = True
            with connection.transaction():
                self._run(connection, f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) {statement}")

        self._with_retries(run)

    def maintain(self, statement: str, *, timeout_s: int) -> None:
        """Runs one statement outside a transaction."""

        def run(connection: psycopg.Connection[Any]) -> None:
            self._limit(connection, timeout_s)
            self._run(connection, statement)

        self._with_retries(run)

    def refresh(self, view: str, tables: Collection[str] | None, *, concurrently: bool | None, timeout_s: int) -> str:
        """Refreshes a materialized view that reads no tables other than `tables` (None: any); returns how. Raises
        TargetError (`view_not_found`, `not_concurrently`)."""

        def run(connection: psycopg.Connection[Any]) -> str:
            oid, possible = self._view(connection, view)
            reads = {str(name) for (name,) in connection.execute(_READS, (oid,))}
            if tables is not None and not (reads and reads <= set(tables)):
                raise _no_such_view(view)
            if concurrently and not possible:
                raise TargetError(
                    "not_concurrently",
                    f"{view} cannot be refreshed while it is read.",
                    "It needs a unique index on plain columns and to be filled once; or leave 'concurrently' out.",
                )
            gently = possible if concurrently is None else concurrently
            self._limit(connection, timeout_s)
            refresh = sql.SQL("REFRESH MATERIALIZED VIEW {} {}")
            how = sql.SQL("CONCURRENTLY" if gently else "")
            connection.execute(refresh.format(how, sql.Identifier(*split_name(view))))
            return "concurrently" if gently else "readers waited"

        return self._with_retries(run)

    @staticmethod
    def _view(connection: psycopg.Connection[Any], view: str) -> tuple[int, bool]:
        found = connection.execute(_VIEW, split_name(view)).fetchone()
        if found is None:
            raise _no_such_view(view)
        return found[0], found[1]

    @staticmethod
    def _limit(connection: psycopg.Connection[Any], seconds: int) -> None:
        connection.execute("SELECT set_config('search_path', '', false)")
        connection.execute("SELECT set_config('statement_timeout', %s, false)", (f"{seconds}s",))

    @staticmethod
    def _run(connection: psycopg.Connection[Any], statement: str) -> None:
        # Prepared, so that the server itself rejects more than one statement.
        connection.execute(statement.encode(), prepare=True)

    def _with_retries(self, action: Callable[[psycopg.Connection[Any]], T]) -> T:
        for attempt in range(1, self._retry.attempts + 1):
            try:
                with connect(self._database, autocommit=True, connect_timeout=10) as connection:
                    return action(connection)
            except psycopg.Error as error:
                if not is_transient(error):
                    raise TargetError("refused", f"The database refused it: {first_line(error)}") from error
                if attempt == self._retry.attempts:
                    raise TargetError(
                        "database_unavailable",
                        f"The target database failed {attempt} times in a row, last with: {first_line(error)}",
                    ) from error
                self._sleep(self._retry.pause(attempt) * random.uniform(0.75, 1.25))  # noqa: S311 - spreads retries
        raise AssertionError("attempts is at least 1")


def _no_such_view(view: str) -> TargetError:
    """The same error for another tenant's view, so that its existence is not disclosed."""
    hint = "It must exist and read nothing but tables of your schemas."
    return TargetError("view_not_found", f"There is no materialized view {view} of yours.", hint)
