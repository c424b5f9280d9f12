"""Tables that loads have left and nobody will come back for: dropped some days after the load stood still.

A staging table, or a twin of blue_green, of a run that failed is kept for its retry. What tells that there will be none
is time: neither the ledger nor the register of loads has moved for days, and no run has the target. A load that no
retry can continue need not be waited for: it goes with the next run that has its target for itself.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from connectors.base import TargetError
from connectors.postgresql.ledger import full_load_key, is_full_load, run_of, visible_in
from connectors.postgresql.load_mark import LoadMark
from connectors.postgresql.lock import free
from connectors.postgresql.quarantine import forget_rows
from connectors.postgresql.sent import forget_sent
from connectors.postgresql.tables import first_line

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

# What dataset rules measure stands under a name that ends so; no node has a dot in its id.
_FORGET = """
DELETE FROM _headrace.{} WHERE root_run_id = %s AND stage >= 0
  AND (target_node = %s OR target_node LIKE '%%.measured')
"""


def drop_leftovers(
    connection: psycopg.Connection[Any],
    *,
    run_id: str = "",
    root_run_id: str = "",
    mine: Collection[str] = (),
    now: datetime | None = None,
    kept_for: timedelta = KEPT_FOR,
) -> list[str]:
    """Drops what is older, on an autocommit connection after `create_ledger`; gives the names of the tables. What the
    calling run works with is none: that of `run_id`, and what its chain of retries from `root_run_id` on has staged.
    `mine` are the targets (`schema.table`) that it has for itself; others are only touched while no run has them.

    What the ledger counted of a table goes with it, and what was measured of its rows for dataset rules: a late retry
    begins from the beginning.
    """
    dropped: list[str] = []
    for schema, name, comment in connection.execute(_MARKED, {}).fetchall():
        mark = LoadMark.parse(comment)
        if mark is None or mark.load_key in (full_load_key(run_id), root_run_id):
            continue
        dead = is_full_load(mark.load_key) and mark.table in mine
        if not dead and (now or datetime.now(UTC)) - _moved(connection, mark) < kept_for:
            continue
        table = sql.Identifier(schema, name)
        try:
            with connection.transaction():
                connection.execute("SET LOCAL lock_timeout = '1s'")
                if mark.table not in mine and not free(connection, mark.table):
                    continue
                connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
                for ledger in ("ledger", "staging_ledger"):
                    forget = sql.SQL(_FORGET).format(sql.Identifier(ledger))
                    connection.execute(forget, (mark.load_key, mark.node))
        except psycopg.errors.LockNotAvailable:
            continue  # somebody looks at it; the next run tries again
        dropped.append(f"{schema}.{name}")
    return dropped


def drop_staged(database_url: str, root_run_id: str, quarantines: Collection[str] = ()) -> list[str]:
    """Drops all that a chain of runs has staged and nobody has seen: its tables, what the ledgers count of it, how its
    dataset rules were judged, and its rows in these quarantine tables. All of it or nothing; gives the names of the
    tables. Raises TargetError (`rows_visible`) where rows of the chain are in a target."""
    try:
        with psycopg.connect(database_url) as connection:
            connection.execute("SET LOCAL lock_timeout = '30s'")
            dropped = []
            for schema, name, comment in connection.execute(_MARKED, {}).fetchall():
                if (mark := LoadMark.parse(comment)) is not None and mark.load_key == root_run_id:
                    connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(schema, name)))
                    dropped.append(f"{schema}.{name}")
            # Not before: a table cannot be dropped while it is being published, and then rows are visible.
            if visible := visible_in(connection, root_run_id):
                raise TargetError(
                    "rows_visible", f"Another attempt made rows visible in {', '.join(visible)}.", "Retry again."
                )
            for ledger in ("ledger", "staging_ledger"):
                forget = sql.SQL("DELETE FROM _headrace.{} WHERE root_run_id = %s")
                connection.execute(forget.format(sql.Identifier(ledger)), (root_run_id,))
            forget_sent(connection, root_run_id)
            forget_rows(connection, root_run_id, quarantines)
            return dropped
    except psycopg.Error as error:
        text = f"What an earlier attempt staged cannot be dropped: {first_line(error)}"
        raise TargetError("staging_kept", text, "Retry again.") from error


def _moved(connection: psycopg.Connection[Any], mark: LoadMark) -> datetime:
    row = connection.execute(_MOVED, {"key": mark.load_key, "run": run_of(mark.load_key)}).fetchone()
    return max(mark.begun, row[0]) if row is not None and row[0] is not None else mark.begun
