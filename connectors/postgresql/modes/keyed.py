"""What upsert, cdc_mirror and scd2 share: rows staged in buckets of keys, each published in a transaction of its own.

The keys of two buckets are never the same, so their transactions do not touch the same rows, and it does not matter
which comes first. The last row of a key wins by its source row number; earlier ones count as skipped. A row that the
database refuses is told and taken away, and the row of the key before it takes its place.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import polars as pl
import psycopg
from psycopg import sql

from connectors.base import PartitionLoader, PublishCallback, Published, Resume, TargetError
from connectors.postgresql.loader import CopyLoader, LoadPlace
from connectors.postgresql.merge import bucket_count, check_key, column_list, last_rows
from connectors.postgresql.publish import publish_once
from connectors.postgresql.refusals import Moved, no_placed_rejects
from connectors.postgresql.spec import LoadSpec
from connectors.postgresql.staging import Staging
from connectors.postgresql.tables import LOAD_ID, STAGED_ROW, Column, Table, describe_table, first_line, split_name
from connectors.postgresql.target import copy_statement, prepared_target

_AGAIN = sql.Identifier("pg_temp", "_headrace_again")

# Sorting a bucket on disk takes longer than anything else about it.
_SORT_IN_MEMORY = """
SELECT set_config('work_mem', '64MB', true) WHERE pg_size_bytes(current_setting('work_mem')) < 64 * 1024 * 1024
"""

_PUBLISHED = """
SELECT max(position) FROM _headrace.ledger WHERE root_run_id = %s AND target_node = %s AND stage < 0
"""

_PARTS = "SELECT greatest(1, count(*)) FROM pg_inherits WHERE inhparent = %s::regclass"


class Keyed(ABC):
    """See LoadMode. A mode says what its table must be like and how the rows that won get into it."""

    resumable: ClassVar[bool] = True
    exclusive: ClassVar[bool] = True

    name: ClassVar[str]
    filled: ClassVar[tuple[str, ...]] = ()
    """Columns that the mode fills where the data does not."""
    checked: ClassVar[bool] = True
    """Whether a staged row must meet the table's not-null and check constraints."""
    extras: ClassVar[tuple[Column, ...]] = ()

    def __init__(self, spec: LoadSpec) -> None:
        self._spec = spec
        self._key = tuple(spec.upsert_key)
        self._buckets: int | None = None
        self._may_be_null = False

    @abstractmethod
    def check(self, connection: psycopg.Connection[Any], table: Table) -> bool:
        """Raises TargetError when the table does not suit; whether nulls in the key are values like any other."""

    @abstractmethod
    def merge(self, connection: psycopg.Connection[Any], table: Table, rows: sql.Composable) -> Moved:
        """Brings the rows of the query (the columns of the staging table, one row per key) into the table."""

    @abstractmethod
    def statements(self, rows: sql.Composable) -> Sequence[sql.Composed]:
        """What is told the database about rows that stand behind FROM, for people."""

    def preview(self) -> str:
        """See LoadMode."""
        staged = self._staging.identifier
        copied = copy_statement(f"_headrace.{self._staging.name}", self._spec.columns)
        rows = sql.SQL("({}) AS s").format(last_rows(staged, self._key))
        told = [statement.as_string() + ";" for statement in self.statements(rows)]
        return "\n".join([copied, "-- for every bucket of keys, in one transaction:", *told])

    def examine(self) -> None:
        """Raises TargetError when rows cannot be merged into the table as it is; changes nothing."""
        try:
            with psycopg.connect(self._spec.database_url, autocommit=True) as connection:
                table = describe_table(connection, self._spec.table)
                check_key(table, self._key, self._spec.columns, self.name)
                self.check(connection, table)
        except psycopg.Error as error:
            raise TargetError(
                "database_unreachable", f"The target database cannot be asked: {first_line(error)}"
            ) from None

    def begin(self) -> None:
        """See LoadMode."""
        with prepared_target(self._spec, filled=self.filled) as (connection, table):
            check_key(table, self._key, self._spec.columns, self.name)
            self._may_be_null = self.check(connection, table)
            self._buckets = self._staged_in(connection, table)

    def loader(self, stage: int, partition: int, source_node: str) -> PartitionLoader:
        """See LoadMode."""
        return CopyLoader(self._spec, LoadPlace(stage, partition, source_node), self._staging.destination)

    def publications(self) -> int:
        """See LoadMode."""
        assert self._buckets is not None, "begin comes first"
        return self._buckets

    def publish(self, stage: int, index: int, on_publish: PublishCallback) -> Resume:
        """See LoadMode."""
        buckets = self.publications()
        staged = self._staging.bucket(index, buckets)
        # How many buckets there are is told with each of them: an attempt that finds one published keeps to it.
        return publish_once(
            self._spec,
            self._staging.publication(stage, index),
            lambda connection: self._publish(connection, staged),
            lambda published: replace(on_publish(published), position=buckets),
        )

    def finish(self) -> None:
        """See LoadMode."""
        with prepared_target(self._spec, filled=self.filled) as (connection, _):
            self._staging.drop(connection)

    @property
    def _staging(self) -> Staging:
        refused_without = () if self._may_be_null else self._key
        return Staging(self._spec, self._spec.root_run_id, refused_without, self.extras)

    @property
    def _target(self) -> sql.Identifier:
        return sql.Identifier(*split_name(self._spec.table))

    @property
    def _names(self) -> tuple[str, ...]:
        return (*self._spec.columns, LOAD_ID)

    def _staged_in(self, connection: psycopg.Connection[Any], table: Table) -> int:
        """Makes the staging table; gives its number of buckets, the same in every attempt."""
        (known,) = connection.execute(_PUBLISHED, (self._spec.root_run_id, self._spec.target_node)).fetchone() or (
            None,
        )
        buckets = known or bucket_count(connection, table, self._key, self._spec.columns, self._spec.planned_rows)
        try:
            self._staging.create(connection, table, checked=self.checked, buckets=buckets, by=self._key)
        except psycopg.errors.UndefinedObject:  # a key of a type without a hash
            self._staging.create(connection, table, checked=self.checked)
        if known:
            return int(known)
        (parts,) = connection.execute(_PARTS, (self._staging.identifier.as_string(connection),)).fetchone() or (1,)
        return int(parts)

    def _publish(self, connection: psycopg.Connection[Any], staged: sql.Identifier) -> Published:
        connection.execute(_SORT_IN_MEMORY)
        # All that the planner has to know; the statistics of every column would take a tenth of the whole.
        connection.execute(sql.SQL("ANALYZE {} ({})").format(staged, column_list(self._key)))
        table = describe_table(connection, self._spec.table)
        (total,) = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(staged)).fetchone() or (0,)
        moved = self.merge(connection, table, last_rows(staged, self._key))
        loaded, rejects = moved.rows, [no_placed_rejects(), moved.rejects]
        while moved.rejects.height:
            again = self._without(connection, staged, moved.rejects)
            moved = self.merge(connection, table, again)
            loaded += moved.rows
            rejects.append(moved.rejects)
        refused = pl.concat(rejects)
        count = refused.select("partition", "row").n_unique() if refused.height else 0
        settled: list[int] = []
        if self._spec.origin_run_id is not None:
            left = sql.SQL("SELECT {} FROM {}").format(sql.Identifier(STAGED_ROW), staged)
            settled = [row for (row,) in connection.execute(left)]
        return Published(loaded, total - loaded - count, refused, settled)

    def _without(
        self, connection: psycopg.Connection[Any], staged: sql.Identifier, rejects: pl.DataFrame
    ) -> sql.Composable:
        """Takes refused rows out of the bucket; the query of the rows that are now the last of their keys."""
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
        return last_rows(staged, self._key, sql.SQL("EXISTS (SELECT FROM {} a WHERE {})").format(_AGAIN, same))
