"""cdc_mirror: applies change events, so that the table mirrors their origin: the last event of a key wins.

A delete of a key that the table does not have counts as skipped.
"""

from __future__ import annotations

from typing import Any, ClassVar

import psycopg
from psycopg import sql

from headrace.connectors.postgresql.modes.events import ChangeEvents
from headrace.connectors.postgresql.modes.merge_keys import column_list, same_key, unique_key
from headrace.connectors.postgresql.modes.upsert import Upsert
from headrace.connectors.postgresql.tables.describe import STAGED_OP, Table


class CdcMirror(ChangeEvents, Upsert):
    """Merges change events by key, deletes included."""

    name: ClassVar[str] = "cdc_mirror"
    beside: ClassVar[int] = 0

    def check(self, connection: psycopg.Connection[Any], table: Table) -> bool:
        """Requires a unique key. Null keys are never equal: an event without a key is rejected."""
        unique_key(connection, table, self._key)
        return False

    def idle(self, connection: psycopg.Connection[Any], rows: sql.Composable) -> int:
        query = sql.SQL(
            "SELECT count(*) FROM {} WHERE s.{} = 'd' AND NOT EXISTS (SELECT FROM {} AS t WHERE {})"
        ).format(rows, sql.Identifier(STAGED_OP), self._target, same_key(self._key, "t", "s"))
        (count,) = connection.execute(query).fetchone() or (0,)
        return int(count)

    def _empty(self, of_bucket: sql.Composable) -> sql.Composed:
        return sql.SQL("DELETE FROM {} AS t WHERE {}").format(self._target, of_bucket)

    def _merge(self, rows: sql.Composable) -> sql.Composed:
        return sql.SQL(
            "MERGE INTO {target} AS t USING {rows} ON {same} WHEN MATCHED AND s.{op} = 'd' THEN DELETE "
            "WHEN MATCHED THEN UPDATE SET {changes} "
            "WHEN NOT MATCHED AND s.{op} <> 'd' THEN INSERT ({names}) VALUES ({values})"
        ).format(
            target=self._target,
            rows=rows,
            same=same_key(self._key, "t", "s"),
            op=sql.Identifier(STAGED_OP),
            changes=self._changes("s"),
            names=column_list(self._names),
            values=column_list(self._names, "s."),
        )
