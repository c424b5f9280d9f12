"""The unlogged staging table beside the target that every partition copies into."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from headrace.connectors.postgresql.ledger.partitions import LedgerKey
from headrace.connectors.postgresql.load.loader import Destination
from headrace.connectors.postgresql.load.spec import LoadSpec
from headrace.connectors.postgresql.tables.describe import (
    LOAD_ID,
    STAGED_PARTITION,
    STAGED_ROW,
    Column,
    Table,
    describe_table,
    split_name,
)
from headrace.connectors.postgresql.tables.table_owner_tag import TableOwnerTag

SCHEMA = "_headrace"


@dataclass(frozen=True, slots=True)
class Staging:
    """The staging table of one target in one load.

    `load_key` is the root of the chain of runs if a retry continues with the staged rows, else an id of this run alone.
    A row with a null in a column of `key` is rejected; `extras` are columns staged in addition to those of the data.
    """

    spec: LoadSpec
    load_key: str
    key: tuple[str, ...] = ()
    extras: tuple[Column, ...] = ()

    @property
    def name(self) -> str:
        """The table's name in the schema `_headrace`."""
        digest = hashlib.sha256(f"{self.load_key}\0{self.spec.target_node}".encode()).hexdigest()
        return f"stage_{digest[:24]}"

    @property
    def identifier(self) -> sql.Identifier:
        """The quoted name for SQL."""
        return sql.Identifier(SCHEMA, self.name)

    @property
    def destination(self) -> Destination:
        """The destination for the loaders of the partitions."""
        return Destination(
            f"{SCHEMA}.{self.name}",
            self.load_key,
            "staging_ledger",
            held=True,
            staged=True,
            key=self.key,
            extras=self.extras,
        )

    def bucket(self, index: int, buckets: int) -> sql.Identifier:
        """The partition of the staging table that holds the keys of one bucket."""
        return self.identifier if buckets == 1 else sql.Identifier(SCHEMA, f"{self.name}_{index}")

    def create(
        self,
        connection: psycopg.Connection[Any],
        table: Table,
        *,
        checked: bool = True,
        buckets: int = 1,
        by: Sequence[str] = (),
    ) -> None:
        """Creates the staging table, or replaces an empty one that has other columns: the columns to be loaded, the row
        number, the partition and the load id.

        `checked`: with the not-null and check constraints of the target, so that violations are found while a batch is
        at hand; unique and foreign keys can only be checked against the target. `buckets`: partitioned into so many
        parts by the hash of the columns `by`. Raises psycopg.errors.UndefinedObject if a column of `by` has a type
        without a hash function.
        """
        there = connection.execute("SELECT to_regclass(%s)", (self.identifier.as_string(connection),)).fetchone()
        if there != (None,) and self._fits(connection, table):
            return
        with connection.transaction():
            if there != (None,) and self._filled(connection):
                return
            self.drop(connection)
            including = sql.SQL("INCLUDING CONSTRAINTS" if checked else "")
            make = sql.SQL("CREATE UNLOGGED TABLE {} (LIKE {} {})")
            if buckets > 1:  # a partitioned table cannot be unlogged; its partitions are
                make = sql.SQL("CREATE TABLE {} (LIKE {} {}) PARTITION BY HASH ({})")
            names = sql.SQL(", ").join(sql.Identifier(name) for name in by)
            connection.execute(make.format(self.identifier, table.identifier, including, names))
            for column in table.columns:
                if column.name in (*self.spec.columns, LOAD_ID):
                    if not (checked or column.nullable):
                        self._alter(connection, "ALTER COLUMN {} DROP NOT NULL", column.name)
                else:  # filled by the database on publication; checks on it are made then
                    self._alter(connection, "DROP COLUMN {}", column.name)
            if table.column(LOAD_ID) is None:
                self._alter(connection, "ADD COLUMN {} bigint", LOAD_ID)
            self._alter(connection, "ADD COLUMN {} bigint", STAGED_ROW)
            self._alter(connection, "ADD COLUMN {} integer", STAGED_PARTITION)
            for extra in self.extras:
                self._alter(connection, "ADD COLUMN {} " + extra.sql_type, extra.name)
            for index in range(buckets if buckets > 1 else 0):
                part = sql.SQL("CREATE UNLOGGED TABLE {} PARTITION OF {} FOR VALUES WITH (MODULUS {}, REMAINDER {})")
                connection.execute(part.format(self.bucket(index, buckets), self.identifier, buckets, index))
            TableOwnerTag.now(self.load_key, self.spec.target_node, self.spec.table).put(connection, self.identifier)

    def filling(self, rows: sql.Composable) -> sql.Composed:
        """The INSERT that moves staged rows into the target; `rows` is a FROM item."""
        target = sql.Identifier(*split_name(self.spec.table))
        names = sql.SQL(", ").join(sql.Identifier(name) for name in (*self.spec.columns, LOAD_ID))
        return sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}").format(target, names, names, rows)

    def drop(self, connection: psycopg.Connection[Any]) -> None:
        """Drops the staging table. The rows in the staging ledger stay, so that a new attempt reads nothing again."""
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(self.identifier))

    def publication(self, stage: int, index: int) -> LedgerKey:
        """The ledger's key of one publication of these rows; `stage` is the plan's."""
        return LedgerKey(self.load_key, self.spec.target_node, stage, index, kind="publication")

    def _fits(self, connection: psycopg.Connection[Any], table: Table) -> bool:
        """Whether the existing table has the columns of this load."""
        known = {*self.spec.columns, LOAD_ID}
        wanted = {column.name for column in table.columns if column.name in known} | {LOAD_ID, STAGED_ROW}
        wanted |= {STAGED_PARTITION, *(extra.name for extra in self.extras)}
        return {column.name for column in describe_table(connection, f"{SCHEMA}.{self.name}").columns} == wanted

    def _filled(self, connection: psycopg.Connection[Any]) -> bool:
        """Whether the table has rows, committed or being staged. Locks it, so that no rows are added until the
        transaction ends."""
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(self.identifier))
        filled = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(self.identifier)
        return connection.execute(filled).fetchone() == (True,)

    def _alter(self, connection: psycopg.Connection[Any], change: LiteralString, column: str) -> None:
        statement = sql.SQL("ALTER TABLE {} " + change)
        connection.execute(statement.format(self.identifier, sql.Identifier(column)))
