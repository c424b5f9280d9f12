"""upsert: rows whose key is in the table are updated, the others are inserted.

An updated row keeps its values in columns that the data does not have. Uses MERGE instead of ON CONFLICT or DELETE and
INSERT: it is correct for every table (triggers, foreign keys to it, untouched columns) and as fast as any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import psycopg
from psycopg import sql

from headrace.connectors.postgresql.copy.rejected_rows import Moved, move_accepted_rows
from headrace.connectors.postgresql.modes.merge_keys import column_list, same_key, unique_key
from headrace.connectors.postgresql.modes.merge_mode import MergeMode
from headrace.connectors.postgresql.tables.describe import Table

# In key order, old rows are found and index entries written next to each other: a third less work than a hash join,
# which updates in table order. If the table does not fit the cache, the planner decides.
_IN_KEY_ORDER = """
SELECT set_config('enable_hashjoin', 'off', true)
WHERE (SELECT sum(pg_table_size(relid)) FROM (SELECT relid FROM pg_partition_tree(%(oid)s::oid::regclass)
                                              UNION SELECT %(oid)s::oid::regclass) AS parts)
      < pg_size_bytes(current_setting('effective_cache_size'))
"""


class Upsert(MergeMode):
    """Merges rows by key: updates and inserts."""

    name: ClassVar[str] = "upsert"
    beside: ClassVar[int] = 3
    deletes: ClassVar[sql.Composable | None] = None
    """The condition that row `t` of the bucket deletes its key from the table."""

    def check(self, connection: psycopg.Connection[Any], table: Table) -> bool:
        key = unique_key(connection, table, self._key)
        return key.nulls_equal and any(column.nullable for column in table.columns if column.name in self._key)

    def merge(self, connection: psycopg.Connection[Any], table: Table, rows: sql.Composable) -> Moved:
        def move(part: sql.Composable) -> int:
            return sum(connection.execute(statement).rowcount for statement in self.statements(part))

        connection.execute(_IN_KEY_ORDER, {"oid": table.oid})
        counting, kept_out = self.counted(connection, table, move, lambda part: self.idle(connection, part))
        moved = move_accepted_rows(
            connection, table, rows, self._spec.columns, counting, key=self._key, deletes=self.deletes
        )
        return replace(moved, kept_out=kept_out())

    def idle(self, connection: psycopg.Connection[Any], rows: sql.Composable) -> int:
        """The number of rows for which there is nothing to do."""
        return 0

    def statements(self, rows: sql.Composable) -> Sequence[sql.Composed]:
        if not self._may_be_null:
            return [self._merge(rows)]
        null = sql.SQL(" OR ").join(sql.SQL("s.{} IS NULL").format(sql.Identifier(name)) for name in self._key)
        # A comparison that treats nulls as equal would scan the whole table for every row.
        plain = sql.SQL("(SELECT * FROM {} WHERE NOT ({})) AS s").format(rows, null)
        return [self._merge(plain), self._on_conflict(rows, null)]

    def _merge(self, rows: sql.Composable) -> sql.Composed:
        return sql.SQL(
            "MERGE INTO {} AS t USING {} ON {} WHEN MATCHED THEN UPDATE SET {} "
            "WHEN NOT MATCHED THEN INSERT ({}) VALUES ({})"
        ).format(
            self._target,
            rows,
            same_key(self._key, "t", "s"),
            self._changes("s"),
            column_list(self._names),
            column_list(self._names, "s."),
        )

    def _on_conflict(self, rows: sql.Composable, condition: sql.Composable) -> sql.Composed:
        return sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} WHERE {} ON CONFLICT ({}) DO UPDATE SET {}").format(
            self._target,
            column_list(self._names),
            column_list(self._names, "s."),
            rows,
            condition,
            column_list(self._key),
            self._changes("EXCLUDED"),
        )

    def _changes(self, source: str) -> sql.Composed:
        pair = sql.SQL("{0} = s.{0}" if source == "s" else "{0} = EXCLUDED.{0}")
        return sql.SQL(", ").join(pair.format(sql.Identifier(name)) for name in self._names if name not in self._key)
