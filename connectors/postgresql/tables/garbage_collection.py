"""Drops staging and shadow tables of loads that will not be resumed."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.connections import Database, connect
from headrace.connectors.postgresql.ledger.committed import published_tables
from headrace.connectors.postgresql.ledger.exchange_manifest import delete_sent
from headrace.connectors.postgresql.ledger.partitions import full_load_key, is_full_load, run_of_load_key
from headrace.connectors.postgresql.locks.load_lock import is_unlocked
from headrace.connectors.postgresql.tables.describe import first_line
from headrace.connectors.postgresql.tables.quarantine import delete_run_rows
from headrace.connectors.postgresql.tables.table_owner_tag import TableOwnerTag

KEPT_FOR = timedelta(days=7)

_MARKED = """
SELECT n.nspname::text, c.relname::text, d.description
FROM pg_description d JOIN pg_class c ON c.oid = d.objoid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE d.classoid = 'pg_class'::regclass AND d.objsubid = 0 AND d.description LIKE 'Headrace load %%'
  AND c.relkind IN ('r', 'p') AND pg_has_role(c.relowner, 'USAGE')
  AND ((n.nspname = '_headrace' AND c.relname LIKE 'stage\\_%%') OR c.relname LIKE '%%\\_\\_new')
ORDER BY 1, 2
"""

_MOVED = """
SELECT max(at) FROM (
  SELECT max(updated_at) FROM _headrace.ledger WHERE root_run_id IN (%(key)s, %(run)s)
  UNION ALL SELECT max(updated_at) FROM _headrace.staging_ledger WHERE root_run_id = %(key)s
  UNION ALL SELECT max(started_at) FROM _headrace.loads WHERE root_run_id = %(run)s OR run_id = %(run)s
) AS moved (at)
"""

_FORGET = """
DELETE FROM _headrace.{} WHERE root_run_id = %s AND ((kind = 'load' AND target_node = %s) OR kind = 'measure')
"""


def drop_abandoned_tables(
    connection: psycopg.Connection[Any],
    *,
    run_id: str = "",
    root_run_id: str = "",
    mine: Collection[str] = (),
    now: datetime | None = None,
    kept_for: timedelta = KEPT_FOR,
) -> list[str]:
    """Drops tables of loads without activity for `kept_for`, on an autocommit connection after `create_ledger`; returns
    their names.

    Tables of the calling run (`run_id`) and of its chain of retries (`root_run_id`) are kept. `mine` are the targets
    (`schema.table`) that the run holds exclusively; tables of other targets are dropped only while no run holds those.
    The ledger rows of a dropped table and the measurements for its dataset rules are deleted too: a late retry starts
    from the beginning.
    """
    dropped: list[str] = []
    for schema, name, comment in connection.execute(_MARKED, {}).fetchall():
        mark = TableOwnerTag.parse(comment)
        if mark is None or mark.load_key in (full_load_key(run_id), root_run_id):
            continue
        dead = is_full_load(mark.load_key) and mark.table in mine
        if not dead and (now or datetime.now(UTC)) - _last_activity(connection, mark) < kept_for:
            continue
        table = sql.Identifier(schema, name)
        try:
            with connection.transaction():
                connection.execute("SET LOCAL lock_timeout = '1s'")
                if mark.table not in mine and not is_unlocked(connection, mark.table):
                    continue
                connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
                for ledger in ("ledger", "staging_ledger"):
                    forget = sql.SQL(_FORGET).format(sql.Identifier(ledger))
                    connection.execute(forget, (mark.load_key, mark.node))
        except psycopg.errors.LockNotAvailable:
            continue  # in use; the next run tries again
        dropped.append(f"{schema}.{name}")
    return dropped


def drop_staged(
    database: Database,
    load_key: str,
    quarantines: Collection[str] = (),
    *,
    root_run_id: str | None = None,
    since: int = 0,
) -> list[str]:
    """Drops everything that a load has staged and not published: its tables, its ledger rows, its results of dataset
    rules, and its rows in these quarantine tables. All in one transaction; returns the names of the tables. `load_key`
    is the first run of a chain, or of an epoch; then `root_run_id` is that run, and `since` the epoch's first row.
    Raises TargetError(`rows_visible`) if rows of the load are in a target."""
    try:
        with connect(database) as connection:
            connection.execute("SET LOCAL lock_timeout = '30s'")
            dropped = drop_load_tables(connection, load_key)
            # Checked after the drop: a table cannot be dropped while it is being published.
            if visible := published_tables(connection, load_key):
                raise TargetError(
                    "rows_visible", f"Another attempt made rows visible in {', '.join(visible)}.", "Retry again."
                )
            for ledger in ("ledger", "staging_ledger"):
                forget = sql.SQL("DELETE FROM _headrace.{} WHERE root_run_id = %s")
                connection.execute(forget.format(sql.Identifier(ledger)), (load_key,))
            delete_sent(connection, load_key)
            delete_run_rows(connection, root_run_id or load_key, quarantines, since=since)
            return dropped
    except psycopg.Error as error:
        text = f"What an earlier attempt staged cannot be dropped: {first_line(error)}"
        raise TargetError("staging_kept", text, "Retry again.") from error


def drop_load_tables(connection: psycopg.Connection[Any], load_key: str, node: str | None = None) -> list[str]:
    """Drops the tables that hold unpublished rows of a load, of one target node or of all; returns their names."""
    dropped = []
    for schema, name, comment in connection.execute(_MARKED, {}).fetchall():
        mark = TableOwnerTag.parse(comment)
        if mark is not None and mark.load_key == load_key and node in (None, mark.node):
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(schema, name)))
            dropped.append(f"{schema}.{name}")
    return dropped


def _last_activity(connection: psycopg.Connection[Any], mark: TableOwnerTag) -> datetime:
    row = connection.execute(_MOVED, {"key": mark.load_key, "run": run_of_load_key(mark.load_key)}).fetchone()
    return max(mark.begun, row[0]) if row is not None and row[0] is not None else mark.begun
