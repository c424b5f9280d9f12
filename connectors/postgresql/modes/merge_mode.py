"""Shared by upsert, cdc_mirror and scd2: rows staged in buckets of keys, each published in its own transaction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import polars as pl
import psycopg
from psycopg import sql

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.connections import connect
from headrace.connectors.postgresql.copy.kept_out import may_keep_rows_out
from headrace.connectors.postgresql.copy.rejected_rows import Move, Moved, no_partition_rejects
from headrace.connectors.postgresql.ledger.resume_check import ReloadEffect
from headrace.connectors.postgresql.load.loader import CopyLoader, PartitionRef
from headrace.connectors.postgresql.load.prepare import copy_statement, prepare_target
from headrace.connectors.postgresql.load.publication import publish_once
from headrace.connectors.postgresql.load.spec import LoadSpec
from headrace.connectors.postgresql.load.staging import Staging
from headrace.connectors.postgresql.modes.merge_keys import bucket_count, check_key, column_list, last_row_per_key
from headrace.connectors.postgresql.tables.describe import (
    LOAD_ID,
    STAGED_ROW,
    Column,
    Table,
    describe_table,
    first_line,
    split_name,
)
from headrace.connectors.target import PartitionLoader, PublishCallback, Published, Resume

_AGAIN = sql.Identifier("pg_temp", "_headrace_again")

# Sorting a bucket on disk would take longer than everything else.
_SORT_IN_MEMORY = """
SELECT set_config('work_mem', '64MB', true) WHERE pg_size_bytes(current_setting('work_mem')) < 64 * 1024 * 1024
"""

_PUBLISHED = """
SELECT max(position::bigint) FROM _headrace.ledger
WHERE root_run_id = %s AND target_node = %s AND kind = 'publication'
"""

_PARTS = "SELECT greatest(1, count(*)) FROM pg_inherits WHERE inhparent = %s::regclass"


class MergeMode(ABC):
    """Base of load modes that merge by key. A subclass says what its table must be like and how the winning rows get
    into it."""

    resumable: ClassVar[bool] = True
    exclusive: ClassVar[bool] = True
    beside: ClassVar[int] = 0
    again: ReloadEffect = "over"

    name: ClassVar[str]
    filled: ClassVar[tuple[str, ...]] = ()
    """Columns that the mode fills if the data does not."""
    checked: ClassVar[bool] = True
    """Whether staged rows must meet the table's not-null and check constraints."""
    extras: ClassVar[tuple[Column, ...]] = ()

    def __init__(self, spec: LoadSpec) -> None:
        self._spec = spec
        self._key = tuple(spec.upsert_key)
        self._buckets: int | None = None
        self._may_be_null = False

    @abstractmethod
    def check(self, connection: psycopg.Connection[Any], table: Table) -> bool:
        """Raises TargetError if the table does not suit. Returns whether nulls in the key are equal to each other."""

    @abstractmethod
    def merge(self, connection: psycopg.Connection[Any], table: Table, rows: sql.Composable) -> Moved:
        """Merges the rows of the query (the columns of the staging table, one row per key) into the table."""

    def counted(
        self, connection: psycopg.Connection[Any], table: Table, move: Move, idle: Callable[[sql.Composable], int]
    ) -> tuple[Move, Callable[[], int]]:
        """`move`, and a function that gives the number of rows that triggers kept out of it: those that neither `move`
        counts nor `idle`, the number of rows for which there is nothing to do. Tables without such triggers are not
        counted again."""
        if not may_keep_rows_out(connection, table):
            return move, lambda: 0
        kept_out = 0

        def counting(part: sql.Composable) -> int:
            nonlocal kept_out
            (sent,) = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(part)).fetchone() or (0,)
            sent -= idle(part)
            moved = move(part)
            kept_out += sent - moved
            return moved

        return counting, lambda: kept_out

    @abstractmethod
    def statements(self, rows: sql.Composable) -> Sequence[sql.Composed]:
        """The statements of a merge, for people; `rows` is a FROM item."""

    def preview(self) -> str:
        staged = self._staging.identifier
        copied = copy_statement(f"_headrace.{self._staging.name}", self._spec.columns)
        rows = sql.SQL("({}) AS s").format(self._winners(staged))
        rendered = [statement.as_string() + ";" for statement in self.statements(rows)]
        return "\n".join([copied, "-- for every bucket of keys, in one transaction:", *rendered])

    def examine(self) -> None:
        """Raises TargetError if rows cannot be merged into the table as it is; changes nothing."""
        try:
            with connect(self._spec.database_url, autocommit=True) as connection:
                table = describe_table(connection, self._spec.table)
                check_key(table, self._key, self._spec.columns, self.name)
                self.check(connection, table)
        except psycopg.Error as error:
            raise TargetError(
                "database_unreachable", f"The target database cannot be queried: {first_line(error)}"
            ) from None

    def begin(self) -> None:
        with prepare_target(self._spec, filled=self.filled) as (connection, table):
            check_key(table, self._key, self._spec.columns, self.name)
            self._may_be_null = self.check(connection, table)
            self._buckets = self._staged_in(connection, table)

    def loader(self, stage: int, partition: int, source_node: str) -> PartitionLoader:
        return CopyLoader(self._spec, PartitionRef(stage, partition, source_node), self._staging.destination)

    def publications(self) -> int:
        assert self._buckets is not None, "begin comes first"
        return self._buckets

    def publish(self, stage: int, index: int, on_publish: PublishCallback) -> Resume:
        buckets = self.publications()
        # The number of buckets is stored with every publication: a later attempt that finds one published keeps that
        # number.
        return publish_once(
            self._spec,
            self._staging.publication(stage, index),
            lambda connection: self._publish(connection, index),
            lambda published: replace(on_publish(published), position=buckets),
            publications=buckets,
        )

    def finish(self) -> None:
        with prepare_target(self._spec, filled=self.filled) as (connection, _):
            self._staging.drop(connection)

    @property
    def _staging(self) -> Staging:
        refused_without = () if self._may_be_null else self._key
        return Staging(self._spec, self._spec.load_key, refused_without, self.extras)

    @property
    def _target(self) -> sql.Identifier:
        return sql.Identifier(*split_name(self._spec.table))

    @property
    def _names(self) -> tuple[str, ...]:
        return (*self._spec.columns, LOAD_ID)

    def _staged_in(self, connection: psycopg.Connection[Any], table: Table) -> int:
        """Creates the staging table; returns its number of buckets, the same in every attempt."""
        (known,) = connection.execute(_PUBLISHED, (self._spec.load_key, self._spec.target_node)).fetchone() or (None,)
        buckets = known or bucket_count(connection, table, self._key, self._spec.columns, self._spec.planned_rows)
        try:
            self._staging.create(connection, table, checked=self.checked, buckets=buckets, by=self._key)
        except psycopg.errors.UndefinedObject:  # a key column whose type has no hash function
            self._staging.create(connection, table, checked=self.checked)
        if known:
            return int(known)
        (parts,) = connection.execute(_PARTS, (self._staging.identifier.as_string(connection),)).fetchone() or (1,)
        return int(parts)

    def _winners(self, staged: sql.Composable, condition: sql.Composable | None = None) -> sql.Composed:
        """The query of the staged rows that are merged: the last row of every key."""
        return last_row_per_key(staged, self._key, condition)

    def _publish(self, connection: psycopg.Connection[Any], index: int) -> Published:
        staged = self._staging.bucket(index, self.publications())
        connection.execute(_SORT_IN_MEMORY)
        # The planner needs no more; statistics of every column would take a tenth of the whole time.
        connection.execute(sql.SQL("ANALYZE {} ({})").format(staged, column_list(self._key)))
        table = describe_table(connection, self._spec.table)
        (total,) = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(staged)).fetchone() or (0,)
        moved = self.merge(connection, table, self._winners(staged))
        loaded, kept_out, rejects = moved.rows, moved.kept_out, [no_partition_rejects(), moved.rejects]
        while moved.rejects.height:
            again = self._without(connection, staged, moved.rejects)
            moved = self.merge(connection, table, again)
            loaded += moved.rows
            kept_out += moved.kept_out
            rejects.append(moved.rejects)
        refused = pl.concat(rejects)
        count = refused.select("partition", "row").n_unique() if refused.height else 0
        settled: list[int] = []
        if self._spec.origin_run_id is not None:
            left = sql.SQL("SELECT {} FROM {}").format(sql.Identifier(STAGED_ROW), staged)
            settled = [row for (row,) in connection.execute(left)]
        return Published(loaded, total - loaded - count, refused, settled, kept_out=kept_out)

    def _without(
        self, connection: psycopg.Connection[Any], staged: sql.Identifier, rejects: pl.DataFrame
    ) -> sql.Composable:
        """Deletes rejected rows from the bucket; returns the query of the rows that are now the last of their keys."""
        key = column_list(self._key)
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(_AGAIN))
        take = sql.SQL(
            "CREATE TEMP TABLE _headrace_again ON COMMIT DROP AS WITH gone AS MATERIALIZED "
            "(SELECT unnest({}::bigint[]) AS r) SELECT DISTINCT {} FROM {} WHERE {} IN (SELECT r FROM gone)"
        )
        rows = rejects.get_column("row").unique().to_list()
        row = sql.Identifier(STAGED_ROW)
        connection.execute(take.format(sql.Literal(rows), key, staged, row))
        connection.execute(sql.SQL("DELETE FROM {} WHERE {} = ANY(%s)").format(staged, row), (rows,))
        same = sql.SQL(" AND ").join(
            sql.SQL("(a.{0} = q.{0} OR (a.{0} IS NULL AND q.{0} IS NULL))").format(sql.Identifier(name))
            if self._may_be_null
            else sql.SQL("a.{0} = q.{0}").format(sql.Identifier(name))
            for name in self._key
        )
        return self._winners(staged, sql.SQL("EXISTS (SELECT FROM {} a WHERE {})").format(_AGAIN, same))
