"""upsert: rows whose key the table has are updated, the others are inserted.

An updated row keeps its values in columns that the data does not have. MERGE rather than ON CONFLICT or DELETE and
INSERT: it is right for every table (triggers, foreign keys to it, columns left alone) and as fast as any.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import psycopg
from psycopg import sql

from connectors.postgresql.merge import column_list, same_key, unique_key
from connectors.postgresql.modes.keyed import Keyed
from connectors.postgresql.refusals import Moved, move_what_fits
from connectors.postgresql.tables import Table

# In the order of the keys old rows are found and index entries made side by side, which takes a third less work than
# the order of the table, by which a hash join would update. What does not fit the cache is left to the planner.
_IN_KEY_ORDER = """
SELECT set_config('enable_hashjoin', 'off', true)
WHERE (SELECT sum(pg_table_size(relid)) FROM (SELECT relid FROM pg_partition_tree(%(oid)s::oid::regclass)
                                              UNION SELECT %(oid)s::oid::regclass) AS parts)
      < pg_size_bytes(current_setting('effective_cache_size'))
"""


class Upsert(Keyed):
    """See LoadMode."""

    name: ClassVar[str] = "upsert"
    deletes: ClassVar[sql.Composable | None] = None
    """The condition under which a row `t` of the bucket is to go from the table."""

    def check(self, connection: psycopg.Connection[Any], table: Table) -> bool:
        """See Keyed."""
        key = unique_key(connection, table, self._key)
        return key.nulls_equal and any(column.nullable for column in table.columns if column.name in self._key)

    def merge(self, connection: psycopg.Connection[Any], table: Table, rows: sql.Composable) -> Moved:
        """See Keyed."""

        def move(part: sql.Composable) -> int:
            return sum(connection.execute(statement).rowcount for statement in self.statements(part))

        connection.execute(_IN_KEY_ORDER, {"oid": table.oid})
        return move_what_fits(connection, table, rows, self._spec.columns, move, key=self._key, deletes=self.deletes)

    def statements(self, rows: sql.Composable) -> Sequence[sql.Composed]:
        """See Keyed."""
        if not self._may_be_null:
            return [self._merge(rows)]
        null = sql.SQL(" OR ").join(sql.SQL("s.{} IS NULL").format(sql.Identifier(name)) for name in self._key)
        # A comparison that takes two nulls for equal would visit the whole table for every row.
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
