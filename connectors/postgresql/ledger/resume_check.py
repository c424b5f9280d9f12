"""Checks before a load is resumed that the rows counted by the ledger are still in the table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg import sql

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.ledger.column_changes import FilledColumn, column_changes, filled_columns
from headrace.connectors.postgresql.ledger.partitions import is_full_load, run_of_load_key
from headrace.connectors.postgresql.ledger.schema import create_ledger
from headrace.connectors.postgresql.tables.describe import LOAD_ID, Table, describe_table, split_name
from headrace.connectors.postgresql.tables.garbage_collection import drop_load_tables

ReloadEffect = Literal["over", "empty", "never"]
"""Whether loading all rows of a load again is correct: `over` existing rows, always; `empty`: only if none of the rows
is in the table any more; `never`, because the load continues from a position."""

_LOCK = 0x4EAD_57A2

_DDL = """
CREATE TABLE IF NOT EXISTS _headrace.begun (
  load_key text NOT NULL,
  target_node text NOT NULL,
  root_run_id text NOT NULL,
  pipeline_id text NOT NULL,
  target_table text NOT NULL,
  again text NOT NULL,
  oid bigint NOT NULL,
  files text NOT NULL,
  columns jsonb NOT NULL,
  PRIMARY KEY (load_key, target_node)
)
"""

_READ = """
SELECT load_key, target_node, root_run_id, pipeline_id, target_table, again, oid, files, columns
FROM _headrace.begun WHERE load_key = ANY(%s) ORDER BY load_key, target_node
"""

_WRITE = """
INSERT INTO _headrace.begun (load_key, target_node, root_run_id, pipeline_id, target_table, again, oid, files, columns)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (load_key, target_node) DO UPDATE SET target_table = EXCLUDED.target_table, again = EXCLUDED.again,
  oid = EXCLUDED.oid, files = EXCLUDED.files, columns = EXCLUDED.columns
"""

# Children by inheritance count like parts. A trigger that may keep a row out, or send it elsewhere, leaves no trace.
_FILES = """
WITH RECURSIVE part (oid) AS (
  SELECT %(oid)s::oid UNION SELECT i.inhrelid FROM pg_inherits i JOIN part p ON i.inhparent = p.oid)
SELECT string_agg(oid || ':' || coalesce(pg_relation_filenode(oid), 0), ' ' ORDER BY oid),
       coalesce(bool_or(EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = oid AND t.tgtype & 7 = 7)), false),
       CASE WHEN count(*) = 1 THEN greatest(0, pg_relation_size(%(oid)s::oid) / 8192 - 256) END
FROM part
"""

_COUNTED = """
SELECT coalesce(sum(l.rows_loaded), 0)::bigint, count(*) > 0
FROM (SELECT * FROM _headrace.ledger UNION ALL SELECT * FROM _headrace.staging_ledger) AS l
WHERE l.root_run_id = %s AND l.target_node = %s AND (l.rows_done > 0 OR l.kind = 'publication')
"""

_LOAD_IDS = """
SELECT coalesce(array_agg(load_id), '{}') FROM _headrace.loads
WHERE root_run_id = %s AND target_node = %s AND (%s::text IS NULL OR run_id = %s)
"""

_UNMARK = """
DELETE FROM _headrace.replayed AS r WHERE r.target_node = %s
  AND EXISTS (SELECT FROM _headrace.loads AS l WHERE l.root_run_id = %s AND l.run_id = r.run_id)
"""


@dataclass(frozen=True, slots=True)
class LoadStart:
    """A target as a load began with it. `load_key` and `node` are its key in the ledger, `root_run_id` the first run of
    the chain, `table` is `schema.table`."""

    load_key: str
    node: str
    root_run_id: str
    pipeline_id: str
    table: str
    again: ReloadEffect
    oid: int = 0
    files: str = ""
    columns: Mapping[str, FilledColumn] | None = None


@dataclass(frozen=True, slots=True)
class ResumeCheck:
    """The result of a check: `reload_reason` says why all rows are loaded again (empty: the load continues), `note`
    what is to be said besides."""

    reload_reason: str = ""
    note: str = ""


def create_load_starts(connection: psycopg.Connection[Any]) -> None:
    """Makes the table, on an autocommit connection; safe when many do it at once."""
    create_ledger(connection)
    if connection.execute("SELECT to_regclass('_headrace.begun') IS NULL").fetchone() == (True,):
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            connection.execute(_DDL)


def load_starts(connection: psycopg.Connection[Any], load_keys: Sequence[str]) -> list[LoadStart]:
    """The targets of the loads that have begun."""
    if connection.execute("SELECT to_regclass('_headrace.begun') IS NULL").fetchone() == (True,):
        return []
    found = connection.execute(_READ, ([*load_keys],))
    return [
        LoadStart(
            key, node, root, pipeline, table, again, int(oid), files, {n: FilledColumn(**c) for n, c in columns.items()}
        )
        for key, node, root, pipeline, table, again, oid, files, columns in found
    ]


def start_or_restart(connection: psycopg.Connection[Any], now: LoadStart, filled: Sequence[str]) -> ResumeCheck:
    """Prepares an attempt's load into a locked target: checks the target, resets its ledger if all rows have to be
    loaded again, and stores the target's definition. `filled` are the columns that this attempt fills. Needs an
    autocommit connection. Raises TargetError as `check_resume` does."""
    create_load_starts(connection)
    known = next((one for one in load_starts(connection, [now.load_key]) if one.node == now.node), now)
    # The file ids are read before the rows are searched: a TRUNCATE in between is detected next time.
    table = describe_table(connection, now.table)
    files = _files(connection, table)[0]
    found = check_resume(connection, known, filled)
    with connection.transaction():
        if found.reload_reason:
            connection.execute("SET LOCAL lock_timeout = '30s'")
            _forget(connection, now)
        columns = filled_columns(connection, table, filled)
        if known.columns is not None and table.oid == known.oid and _counted(connection, known)[1]:
            columns = {**known.columns, **columns}  # one that is gone is missed when it comes back, without its values
        values = (now.load_key, now.node, now.root_run_id, now.pipeline_id, now.table, now.again, table.oid)
        written = json.dumps({name: column.as_json for name, column in columns.items()})
        connection.execute(_WRITE, (*values, files, written))
    return found


def check_resume(
    connection: psycopg.Connection[Any], begun: LoadStart, filled: Sequence[str] | None = None
) -> ResumeCheck:
    """Whether a load can continue after what the ledger counts; changes nothing. `filled` are the columns that it would
    fill now (None: those it began with).

    Raises TargetError (`rows_gone`, `columns_changed`) where it can neither go on nor begin again by itself.
    """
    loaded, counted = _counted(connection, begun)
    if not counted:
        return ResumeCheck()
    table = describe_table(connection, begun.table)
    there = _there(connection, begun, table, loaded)
    if loaded and there < loaded:
        return _gone(begun, loaded, there)
    found = column_changes(connection, table, begun.columns or {}, filled, same_table=table.oid == begun.oid)
    changed, gone = "; ".join(found.changed if begun.columns is not None else ()), ", ".join(found.gone)
    if gone and (not loaded or begun.again == "over"):  # the staged rows are still there
        changed = "; ".join(filter(None, [changed, f"it has lost {gone}"]))
    if not changed:
        return ResumeCheck(note=f"{begun.table} has lost {gone}: all rows go without" if gone else "")
    if loaded and begun.again != "over":
        raise TargetError(
            "columns_changed",
            f"{begun.table} has changed since this run began: {changed}. The {loaded:,} rows that it has loaded would "
            "not be like the others.",
            _way_out(begun),
        )
    return ResumeCheck(
        reload_reason=f"{begun.table} has changed since this run began ({changed}): all its rows are loaded again"
    )


def _gone(begun: LoadStart, loaded: int, there: int) -> ResumeCheck:
    happened = (
        "It was emptied or recreated since (TRUNCATE, DROP and CREATE, a crash where it is unlogged), or they were "
        "deleted."
    )
    if begun.again == "over" or (begun.again == "empty" and there == 0):
        missing = f"none of the {loaded:,} rows" if there == 0 else f"only {there:,} of the {loaded:,} rows"
        why = f"{missing} that earlier attempts loaded into {begun.table} are there any more"
        return ResumeCheck(reload_reason=f"{why[0].upper()}{why[1:]}. {happened} All its rows are loaded again")
    missing = "none is" if there == 0 else f"only {there:,} are"
    raise TargetError(
        "rows_gone",
        f"Of the {loaded:,} rows that earlier attempts loaded into {begun.table} {missing} there any more. {happened}",
        _way_out(begun),
    )


def _way_out(begun: LoadStart) -> str:
    """The options of the user, with SQL statements."""
    ids = sql.SQL("SELECT load_id FROM _headrace.loads WHERE root_run_id = {} AND target_node = {}").format(
        sql.Literal(begun.root_run_id), sql.Literal(begun.node)
    )
    remove = sql.SQL("DELETE FROM {} WHERE {} IN ({});").format(
        sql.Identifier(*split_name(begun.table)), sql.Identifier(LOAD_ID), ids
    )
    if begun.again == "empty":
        left = remove.as_string()
        return f"To load all of them, remove what is left and retry, which then begins from nothing: {left}"
    forget = sql.SQL("DELETE FROM _headrace.watermarks WHERE pipeline_id = {} AND target_node = {};").format(
        sql.Literal(begun.pipeline_id), sql.Literal(begun.node)
    )
    return (
        "The watermark has moved past them. To load all of them, remove what is left, then the mark, and start a new "
        f"run: {remove.as_string()} {forget.as_string()}"
    )


def _there(connection: psycopg.Connection[Any], begun: LoadStart, table: Table, loaded: int) -> int:
    """How many of the loaded rows are there: counted where the table is stored in other files than before; else all,
    unless there is not a single one."""
    run = run_of_load_key(begun.load_key) if is_full_load(begun.load_key) else None
    (ids,) = connection.execute(_LOAD_IDS, (begun.root_run_id, begun.node, run, run)).fetchone() or ([],)
    if not loaded or table.column(LOAD_ID) is None or not ids:
        return 0
    if run is not None:
        later = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {} > %s)")
        replaced = later.format(table.identifier, sql.Identifier(LOAD_ID))
        if connection.execute(replaced, (max(ids),)).fetchone() == (True,):
            return loaded  # a later load took the place of these rows, as it should
    files, triggered, tail = _files(connection, table)
    mine = sql.SQL("FROM {} WHERE {} = ANY(%s)").format(table.identifier, sql.Identifier(LOAD_ID))
    if files != begun.files:
        (count,) = connection.execute(sql.SQL("SELECT count(*) {}").format(mine), (ids,)).fetchone() or (0,)
        return min(int(count), loaded)
    if triggered:
        return loaded
    if tail:  # the last loaded rows are usually at the end and are found there at once
        near = sql.SQL("SELECT EXISTS (SELECT {} AND ctid >= %s::tid)").format(mine)
        if connection.execute(near, (ids, f"({tail},0)")).fetchone() == (True,):
            return loaded
    found = connection.execute(sql.SQL("SELECT EXISTS (SELECT {})").format(mine), (ids,)).fetchone()
    return loaded if found == (True,) else 0


def _files(connection: psycopg.Connection[Any], table: Table) -> tuple[str, bool, int | None]:
    """Where the table and its parts are stored; whether a trigger may keep rows out; the page after which the end of
    its file begins, if it has one."""
    row = connection.execute(_FILES, {"oid": table.oid}).fetchone()
    assert row is not None
    return str(row[0]), bool(row[1]), row[2]


def _counted(connection: psycopg.Connection[Any], begun: LoadStart) -> tuple[int, bool]:
    row = connection.execute(_COUNTED, (begun.load_key, begun.node)).fetchone()
    assert row is not None
    return int(row[0]), bool(row[1])


def _forget(connection: psycopg.Connection[Any], begun: LoadStart) -> None:
    """All that is counted of a target, staged for it, and settled by its rows; in a transaction."""
    drop_load_tables(connection, begun.load_key, begun.node)
    for ledger in ("ledger", "staging_ledger"):
        gone = sql.SQL("DELETE FROM _headrace.{} WHERE root_run_id = %s AND target_node = %s")
        connection.execute(gone.format(sql.Identifier(ledger)), (begun.load_key, begun.node))
    connection.execute(_UNMARK, (begun.node, begun.root_run_id))


def restart_reasons(connection: psycopg.Connection[Any], load_key: str) -> list[str]:
    """The reasons why targets of this load have to be loaded again, for checks before a retry; changes nothing. Raises
    TargetError as `check_resume` does."""
    found = (check_resume(connection, begun) for begun in load_starts(connection, [load_key]))
    return [each.reload_reason for each in found if each.reload_reason]
