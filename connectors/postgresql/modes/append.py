"""append: batches are copied into the table, or staged first where dataset rules may abort the run."""

from __future__ import annotations

from typing import Any, ClassVar

import psycopg
from psycopg import sql

from headrace.connectors.postgresql.copy.rejected_rows import move_accepted_rows
from headrace.connectors.postgresql.ledger.resume_check import ReloadEffect
from headrace.connectors.postgresql.load.loader import CopyLoader, Destination, PartitionRef
from headrace.connectors.postgresql.load.prepare import copy_statement, prepare_target
from headrace.connectors.postgresql.load.publication import publish_once
from headrace.connectors.postgresql.load.spec import LoadSpec
from headrace.connectors.postgresql.load.staging import Staging
from headrace.connectors.postgresql.tables.describe import describe_table
from headrace.connectors.target import PartitionLoader, PublishCallback, Published, Resume


class Append:
    """Copies every batch straight into the table."""

    resumable: ClassVar[bool] = True
    exclusive: ClassVar[bool] = False
    beside: ClassVar[int] = 1
    again: ReloadEffect = "empty"

    def __init__(self, spec: LoadSpec) -> None:
        self._spec = spec

    def begin(self) -> None:
        with prepare_target(self._spec):
            pass

    def preview(self) -> str:
        return copy_statement(self._spec.table, self._spec.columns)

    def loader(self, stage: int, partition: int, source_node: str) -> PartitionLoader:
        destination = Destination(self._spec.table, self._spec.load_key)
        return CopyLoader(self._spec, PartitionRef(stage, partition, source_node), destination)

    def publications(self) -> int:
        """0: no rows are held back."""
        return 0

    def publish(self, stage: int, index: int, on_publish: PublishCallback) -> Resume:
        """Raises RuntimeError: there are no publications."""
        raise RuntimeError("append holds no rows back")

    def finish(self) -> None:
        """Does nothing."""


class StagedAppend:
    """Stages rows and appends them at once."""

    resumable: ClassVar[bool] = True
    exclusive: ClassVar[bool] = False
    beside: ClassVar[int] = 3
    again: ReloadEffect = "empty"

    def __init__(self, spec: LoadSpec) -> None:
        self._spec = spec
        self._staging = Staging(spec, spec.load_key)

    def preview(self) -> str:
        staged = copy_statement(f"_headrace.{self._staging.name}", self._spec.columns)
        return (
            f"{staged}\n-- when the dataset rules hold\n{self._staging.filling(self._staging.identifier).as_string()}"
        )

    def begin(self) -> None:
        with prepare_target(self._spec) as (connection, table):
            self._staging.create(connection, table)

    def loader(self, stage: int, partition: int, source_node: str) -> PartitionLoader:
        return CopyLoader(self._spec, PartitionRef(stage, partition, source_node), self._staging.destination)

    def publications(self) -> int:
        """1: all rows become visible at once."""
        return 1

    def publish(self, stage: int, index: int, on_publish: PublishCallback) -> Resume:
        key = self._staging.publication(stage, index)
        return publish_once(self._spec, key, self._move, on_publish, publications=1)

    def finish(self) -> None:
        with prepare_target(self._spec) as (connection, _):
            self._staging.drop(connection)

    def _move(self, connection: psycopg.Connection[Any]) -> Published:
        staged = self._staging.identifier
        counted = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(staged)).fetchone()
        assert counted is not None
        moved = move_accepted_rows(
            connection,
            describe_table(connection, self._spec.table),
            sql.SQL("SELECT * FROM {}").format(staged),
            self._spec.columns,
            lambda rows: connection.execute(self._staging.filling(rows)).rowcount,
        )
        # Rows that a trigger of the table keeps out are neither loaded nor rejected.
        kept_out = int(counted[0]) - moved.rows - moved.refused
        return Published(moved.rows, kept_out, moved.rejects, kept_out=kept_out)
