"""Rows that are held back: an unlogged table beside the target that every partition copies into.

It is counted by `_headrace.staging_ledger`, unlogged too: when PostgreSQL crashes it empties both, so that the
partitions begin again and nothing is counted that is not there. (What is unlogged is not written to the WAL, which
halves the server's work.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from connectors.postgresql.ledger import LedgerKey
from connectors.postgresql.load_mark import LoadMark
from connectors.postgresql.loader import Destination
from connectors.postgresql.spec import LoadSpec
from connectors.postgresql.tables import (
    LOAD_ID,
    STAGED_PARTITION,
    STAGED_ROW,
    Column,
    Table,
    describe_table,
    split_name,
)

SCHEMA = "_headrace"


@dataclass(frozen=True, slots=True)
class Staging:
    """The staging table of one target in one load. `load_key` is the root of the chain of runs where a retry continues
    behind what is staged, else an id of this run alone. A row without a value in a column of `key` is refused; `extras`
    are staged besides the columns of the data."""

    spec: LoadSpec
    load_key: str
    key: tuple[str, ...] = ()
    extras: tuple[Column, ...] = ()

    @property
    def name(self) -> str:
        """Its name in the schema `_headrace`."""
        digest = hashlib.sha256(f"{self.load_key}\0{self.spec.target_node}".encode()).hexdigest()
        return f"stage_{digest[:24]}"

    @property
    def identifier(self) -> sql.Identifier:
        """The quoted name for SQL."""
        return sql.Identifier(SCHEMA, self.name)

    @property
    def destination(self) -> Destination:
        """Where the loaders of the partitions copy to."""
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
        """The part of it that holds the keys of one bucket."""
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
        """Makes it when it is not there, or there without a row for other columns: those to be loaded, the row number,
        the partition and the load id.

        `checked`: with the not-null and check constraints of the target, so that a batch meets them while its rows are
        at hand; unique and foreign keys can only be judged against the target itself.
        `buckets`: in so many parts, by the hash of the columns `by`. Raises psycopg.errors.UndefinedObject when one of
        them has a type that has no hash.
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
            if buckets > 1:  # its parts are unlogged, where it cannot be
                make = sql.SQL("CREATE TABLE {} (LIKE {} {}) PARTITION BY HASH ({})")
            names = sql.SQL(", ").join(sql.Identifier(name) for name in by)
            connection.execute(make.format(self.identifier, table.identifier, including, names))
            for column in table.columns:
                if column.name in (*self.spec.columns, LOAD_ID):
                    if not (checked or column.nullable):
                        self._alter(connection, "ALTER COLUMN {} DROP NOT NULL", column.name)
                else:  # the database fills it when the rows are published; checks that ask for it have to wait for that
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
            LoadMark.now(self.load_key, self.spec.target_node, self.spec.table).put(connection, self.identifier)

    def filling(self, rows: sql.Composable) -> sql.Composed:
        """The statement that puts staged `rows`, which stand behind FROM, into the target."""
        target = sql.Identifier(*split_name(self.spec.table))
        names = sql.SQL(", ").join(sql.Identifier(name) for name in (*self.spec.columns, LOAD_ID))
        return sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}").format(target, names, names, rows)

    def drop(self, connection: psycopg.Connection[Any]) -> None:
        """Removes it. What the staging ledger counts stays, so that an attempt that begins again reads nothing."""
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(self.identifier))

    def publication(self, stage: int, index: int) -> LedgerKey:
        """The ledger's key of one publication of these rows; `stage` is the plan's."""
        return LedgerKey(self.load_key, self.spec.target_node, -1 - stage, index)

    def _fits(self, connection: psycopg.Connection[Any], table: Table) -> bool:
        """It was made for these columns, and not by an attempt of another version."""
        known = {*self.spec.columns, LOAD_ID}
        wanted = {column.name for column in table.columns if column.name in known} | {LOAD_ID, STAGED_ROW}
        wanted |= {STAGED_PARTITION, *(extra.name for extra in self.extras)}
        return {column.name for column in describe_table(connection, f"{SCHEMA}.{self.name}").columns} == wanted

    def _filled(self, connection: psycopg.Connection[Any]) -> bool:
        """Whether it has rows, those included that are being staged: nobody adds any until the transaction ends."""
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(self.identifier))
        filled = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(self.identifier)
        return connection.execute(filled).fetchone() == (True,)

    def _alter(self, connection: psycopg.Connection[Any], change: LiteralString, column: str) -> None:
        statement = sql.SQL("ALTER TABLE {} " + change)
        connection.execute(statement.format(self.identifier, sql.Identifier(column)))
