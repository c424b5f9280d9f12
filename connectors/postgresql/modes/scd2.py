"""scd2: the table keeps every version of a row, with its period of validity.

A row equal to the current version of its key is skipped. Otherwise it closes that version (`valid_to`, `is_current`
false) and becomes the current one; keys that the input does not have stay as they are. `valid_from` is the time of the
load, or the data's own value if it has that column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, LiteralString

import polars as pl
import psycopg
from psycopg import sql

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.copy.rejected_rows import Moved, move_accepted_rows
from headrace.connectors.postgresql.modes.events import ChangeEvents
from headrace.connectors.postgresql.modes.merge_keys import column_list, same_key
from headrace.connectors.postgresql.modes.merge_mode import MergeMode
from headrace.connectors.postgresql.tables.describe import STAGED_OP, STAGED_PARTITION, STAGED_ROW, Table
from headrace.connectors.source import REJECT_SCHEMA

VALID_FROM, VALID_TO, IS_CURRENT = "valid_from", "valid_to", "is_current"
HISTORY = (VALID_FROM, VALID_TO, IS_CURRENT)
"""The names of the history columns."""

_CHANGED = sql.Identifier("pg_temp", "_headrace_changed")
_TIMES = ("timestamptz", "timestamp", "date")
_AS_JSONB = ("json",)
_AS_TEXT = ("xml", "point", "line", "polygon", "_json", "_xml")  # types that PostgreSQL cannot compare

LOAD_TIME = """
SELECT coalesce(min(started_at), now()) FROM _headrace.loads WHERE run_id = %s AND target_node = %s
"""

_UNIQUE = """
SELECT i.indexrelid::regclass::text FROM pg_index i
WHERE i.indrelid = %(oid)s::oid AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL
  AND (SELECT array_agg(a.attname::text) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(num, ord)
       JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num WHERE k.ord <= i.indnkeyatts)
      <@ %(key)s::text[]
"""


class Scd2(MergeMode):
    """Merges rows by key into a history of versions."""

    name: ClassVar[str] = "scd2"
    filled: ClassVar[tuple[str, ...]] = HISTORY
    deletes: ClassVar[sql.Composable | None] = None
    """The condition that row `t` of the bucket only ends the current version of its key."""

    def check(self, connection: psycopg.Connection[Any], table: Table) -> bool:
        check_history(table)
        found = connection.execute(_UNIQUE, {"oid": table.oid, "key": list(self._key)}).fetchone()
        if found is not None:
            raise TargetError(
                "history_key_unique",
                f"{table.qualified} allows one row per key ({found[0]}), but its history needs several.",
                f"Make that index partial: CREATE UNIQUE INDEX ON {table.identifier.as_string(connection)} "
                f"({column_list(self._key).as_string(connection)}) WHERE {IS_CURRENT};",
            )
        return False

    def merge(self, connection: psycopg.Connection[Any], table: Table, rows: sql.Composable) -> Moved:
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(_CHANGED))
        connection.execute(
            sql.SQL("CREATE TEMP TABLE _headrace_changed ON COMMIT DROP AS {}").format(self._changed(table, rows))
        )
        connection.execute(sql.SQL("ANALYZE {} ({})").format(_CHANGED, column_list(self._key)))
        late = self._late(connection) if VALID_FROM in self._spec.columns else None
        (time,) = connection.execute(LOAD_TIME, (self._spec.run_id, self._spec.target_node)).fetchone() or (None,)
        starts = self._starts(table, sql.Literal(time))

        counting, kept_out = self.counted(
            connection, table, lambda part: self._move(connection, part, starts), lambda _: 0
        )
        moved = move_accepted_rows(
            connection,
            table,
            sql.SQL("SELECT * FROM {}").format(_CHANGED),
            self._spec.columns,
            counting,
            deletes=self.deletes,
        )
        rejects = moved.rejects if late is None else pl.concat([late, moved.rejects])
        return Moved(moved.rows, rejects, kept_out())

    def _move(self, connection: psycopg.Connection[Any], part: sql.Composable, starts: sql.Composable) -> int:
        """Moves changed rows; returns how many the table took."""
        connection.execute(self._close(part, starts))
        return connection.execute(self._insert(part, starts)).rowcount

    def statements(self, rows: sql.Composable) -> Sequence[sql.Composed]:
        changed = sql.SQL("{} s").format(_CHANGED)
        make = sql.SQL("CREATE TEMP TABLE _headrace_changed AS SELECT * FROM {} WHERE NOT EXISTS ({})")
        starts = sql.SQL("s.{}").format(sql.Identifier(VALID_FROM)) if self._dated else sql.SQL("now()")
        return [
            make.format(rows, self._same_version(None)),
            self._close(changed, starts),
            self._insert(changed, starts),
        ]

    @property
    def _dated(self) -> bool:
        return VALID_FROM in self._spec.columns

    def _changed(self, table: Table, rows: sql.Composable) -> sql.Composed:
        same = self._same_version(table)
        return sql.SQL("SELECT * FROM ({}) AS s WHERE NOT EXISTS ({})").format(rows, same)

    def _same_version(self, table: Table | None) -> sql.Composed:
        """The current version of the key of row `s`, if it has equal values."""
        equal = [
            sql.SQL("{} IS NOT DISTINCT FROM {}").format(*(_comparable(table, name, side) for side in ("t", "s")))
            for name in self._spec.columns
            if name not in (*self._key, VALID_FROM)
        ]
        return sql.SQL("SELECT FROM {} AS t WHERE t.{} AND {}").format(
            self._target,
            sql.Identifier(IS_CURRENT),
            sql.SQL(" AND ").join([same_key(self._key, "t", "s"), *equal]),
        )

    def _starts(self, table: Table, load_time: sql.Composable) -> sql.Composed:
        """The start of the validity of row `s`, in the column's type."""
        column = table.column(VALID_FROM)
        assert column is not None
        of_load = sql.SQL("CAST({} AS {})").format(load_time, sql.SQL(column.sql_type))
        if not self._dated:
            return of_load
        return sql.SQL("coalesce(s.{}, {})").format(sql.Identifier(VALID_FROM), of_load)

    def _close(self, rows: sql.Composable, starts: sql.Composable) -> sql.Composed:
        return sql.SQL("UPDATE {} AS t SET {} = {}, {} = false FROM {} WHERE t.{} AND {}").format(
            self._target,
            sql.Identifier(VALID_TO),
            starts,
            sql.Identifier(IS_CURRENT),
            rows,
            sql.Identifier(IS_CURRENT),
            same_key(self._key, "t", "s"),
        )

    def _insert(self, rows: sql.Composable, starts: sql.Composable) -> sql.Composed:
        names = [name for name in self._names if name != VALID_FROM]
        return sql.SQL("INSERT INTO {} ({}, {}) SELECT {}, {}, NULL, true FROM {}").format(
            self._target,
            column_list(names),
            column_list(HISTORY),
            column_list(names, "s."),
            starts,
            rows,
        )

    def _late(self, connection: psycopg.Connection[Any]) -> pl.DataFrame:
        """Removes rows that are older than the version they would close; returns them as rejected cells."""
        take = sql.SQL(
            "DELETE FROM {changed} AS s USING {target} AS t WHERE t.{current} AND {same} AND s.{start} < t.{start} "
            "RETURNING s.{row}, s.{start}::text, s.{partition}, t.{start}::text"
        ).format(
            changed=_CHANGED,
            target=self._target,
            current=sql.Identifier(IS_CURRENT),
            same=same_key(self._key, "t", "s"),
            start=sql.Identifier(VALID_FROM),
            row=sql.Identifier(STAGED_ROW),
            partition=sql.Identifier(STAGED_PARTITION),
        )
        cells = [
            (row, VALID_FROM, value, f"Older than the current version, which holds from {current}", "scd2_order", place)
            for row, value, place, current in connection.execute(take)
        ]
        return pl.DataFrame(cells, schema={**REJECT_SCHEMA, "partition": pl.Int32}, orient="row")


class Scd2OfEvents(ChangeEvents, Scd2):
    """The same for change events: a delete ends the current version of its key, a truncate that of every key."""

    def _changed(self, table: Table, rows: sql.Composable) -> sql.Composed:
        known = sql.SQL("SELECT FROM {} AS t WHERE t.{} AND {}").format(
            self._target, sql.Identifier(IS_CURRENT), same_key(self._key, "t", "s")
        )
        return sql.SQL(
            "SELECT * FROM ({}) AS s WHERE CASE s.{} WHEN 'd' THEN EXISTS ({}) ELSE NOT EXISTS ({}) END"
        ).format(rows, sql.Identifier(STAGED_OP), known, self._same_version(table))

    def _move(self, connection: psycopg.Connection[Any], part: sql.Composable, starts: sql.Composable) -> int:
        op = sql.Identifier(STAGED_OP)
        gone = sql.SQL("(SELECT * FROM {} WHERE s.{} = 'd') AS s").format(part, op)
        there = sql.SQL("(SELECT * FROM {} WHERE s.{} <> 'd') AS s").format(part, op)
        ended = connection.execute(self._close(gone, starts)).rowcount
        return ended + super()._move(connection, there, starts)

    def _empty(self, of_bucket: sql.Composable) -> sql.Composed:
        time = sql.SQL("({})").format(sql.SQL(LOAD_TIME.replace("%s", "{}")).format(
            sql.Literal(self._spec.run_id), sql.Literal(self._spec.target_node)))  # fmt: skip
        return sql.SQL("UPDATE {} AS t SET {} = {}, {} = false WHERE t.{} AND {}").format(
            self._target, sql.Identifier(VALID_TO), time, sql.Identifier(IS_CURRENT), sql.Identifier(IS_CURRENT),
            of_bucket,
        )  # fmt: skip


def check_history(table: Table) -> None:
    """Raises TargetError if history columns are missing or have the wrong types."""
    types = {VALID_FROM: _TIMES, VALID_TO: _TIMES, IS_CURRENT: ("bool",)}
    wrong = [
        name
        for name, allowed in types.items()
        if (column := table.column(name)) is None or column.type_name not in allowed
    ]
    if wrong:
        raise TargetError(
            "history_columns",
            f"{table.qualified} cannot keep a history: it needs {', '.join(wrong)}.",
            f"ALTER TABLE {table.qualified} ADD COLUMN {VALID_FROM} timestamptz, ADD COLUMN {VALID_TO} timestamptz, "
            f"ADD COLUMN {IS_CURRENT} boolean DEFAULT true;",
        )
    if (column := table.column(VALID_TO)) is not None and not column.nullable:
        raise TargetError(
            "history_columns",
            f"Column '{VALID_TO}' of {table.qualified} must not be null, but the current version has no end.",
            f"ALTER TABLE {table.qualified} ALTER COLUMN {VALID_TO} DROP NOT NULL;",
        )


def _comparable(table: Table | None, name: str, side: LiteralString) -> sql.Composable:
    value = sql.SQL(side + ".{}").format(sql.Identifier(name))
    kind = column.type_name if table is not None and (column := table.column(name)) is not None else ""
    if kind in _AS_JSONB:
        return sql.SQL("{}::jsonb").format(value)
    return sql.SQL("{}::text").format(value) if kind in _AS_TEXT else value
