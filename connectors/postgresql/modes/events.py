"""Shared by the load modes that apply change events: deletes by key, and truncates of the whole table.

An event is a row with its operation in STAGED_OP: `c`, `u` and `r` (created, updated, snapshot read) carry the row as
it is now, `d` carries only the key to delete, and `t` carries nothing: every row that was there before it is gone.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any, ClassVar

import psycopg
from psycopg import sql

from headrace.connectors.postgresql.modes.merge_keys import column_list
from headrace.connectors.postgresql.modes.merge_mode import MergeMode
from headrace.connectors.postgresql.tables.describe import STAGED_OP, STAGED_ROW, TRUNCATE, Column
from headrace.connectors.target import Published

_OP = sql.Identifier(STAGED_OP)


class ChangeEvents(MergeMode):
    """A merge mode whose rows are change events."""

    checked: ClassVar[bool] = False  # a delete has only a key
    extras: ClassVar[tuple[Column, ...]] = (Column(STAGED_OP, "text", "text", nullable=False),)
    deletes: ClassVar[sql.Composable | None] = sql.SQL("t.{} = 'd'").format(_OP)

    _truncated: int | None = None

    @abstractmethod
    def _empty(self, of_bucket: sql.Composable) -> sql.Composed:
        """The statement after which the rows `t` of the table for which the condition holds are gone."""

    def _winners(self, staged: sql.Composable, condition: sql.Composable | None = None) -> sql.Composed:
        if self._truncated is None:
            return super()._winners(staged, condition)
        later = sql.SQL("q.{} > {}").format(sql.Identifier(STAGED_ROW), sql.Literal(self._truncated))
        return super()._winners(staged, later if condition is None else sql.SQL("{} AND {}").format(later, condition))

    def _publish(self, connection: psycopg.Connection[Any], index: int) -> Published:
        """The last truncate of the load empties the table of the bucket's keys, in the bucket's transaction, and
        replaces all events before it. It has no key, and so it is in one of the buckets and concerns all of them."""
        count = sql.SQL("SELECT count(*), max({}) FROM {} WHERE {} = %s")
        row = sql.Identifier(STAGED_ROW)
        found = connection.execute(count.format(row, self._staging.identifier, _OP), (TRUNCATE,)).fetchone()
        self._truncated = None if found is None else found[1]
        if self._truncated is None:
            return super()._publish(connection, index)
        connection.execute(self._empty(self._of_bucket(index)))
        published = super()._publish(connection, index)
        bucket = self._staging.bucket(index, self.publications())
        (applied, _) = connection.execute(count.format(row, bucket, _OP), (TRUNCATE,)).fetchone() or (0, None)
        return replace(published, loaded=published.loaded + applied, skipped=published.skipped - applied)

    def _of_bucket(self, index: int) -> sql.Composable:
        """The condition for rows `t` of the table whose keys are in a bucket."""
        buckets = self.publications()
        if buckets == 1:
            return sql.SQL("true")
        return sql.SQL("satisfies_hash_partition({}::regclass, {}, {}, {})").format(
            sql.Literal(self._staging.identifier.as_string()), buckets, index, column_list(self._key, "t.")
        )
