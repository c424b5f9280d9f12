"""append behind dataset rules that may abort the run: rows are staged, and all of them appended at once when the rules
hold (write, audit, publish)."""

from __future__ import annotations

from typing import Any, ClassVar

import psycopg
from psycopg import sql

from connectors.base import PartitionLoader, PublishCallback, Published, Resume
from connectors.postgresql.loader import CopyLoader, LoadPlace
from connectors.postgresql.publish import publish_once
from connectors.postgresql.refusals import move_what_fits
from connectors.postgresql.spec import LoadSpec
from connectors.postgresql.staging import Staging
from connectors.postgresql.tables import describe_table
from connectors.postgresql.target import copy_statement, prepared_target


class AppendHeld:
    """See LoadMode."""

    resumable: ClassVar[bool] = True
    exclusive: ClassVar[bool] = False

    def __init__(self, spec: LoadSpec) -> None:
        self._spec = spec
        self._staging = Staging(spec, spec.root_run_id)

    def preview(self) -> str:
        """See LoadMode."""
        staged = copy_statement(f"_headrace.{self._staging.name}", self._spec.columns)
        return (
            f"{staged}\n-- when the dataset rules hold\n{self._staging.filling(self._staging.identifier).as_string()}"
        )

    def begin(self) -> None:
        """See LoadMode."""
        with prepared_target(self._spec) as (connection, table):
            self._staging.create(connection, table)

    def loader(self, stage: int, partition: int, source_node: str) -> PartitionLoader:
        """See LoadMode."""
        return CopyLoader(self._spec, LoadPlace(stage, partition, source_node), self._staging.destination)

    def publications(self) -> int:
        """All rows become visible at once."""
        return 1

    def publish(self, stage: int, index: int, on_publish: PublishCallback) -> Resume:
        """See LoadMode."""
        return publish_once(self._spec, self._staging.publication(stage, index), self._move, on_publish)

    def finish(self) -> None:
        """See LoadMode."""
        with prepared_target(self._spec) as (connection, _):
            self._staging.drop(connection)

    def _move(self, connection: psycopg.Connection[Any]) -> Published:
        staged = self._staging.identifier
        counted = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(staged)).fetchone()
        assert counted is not None
        moved = move_what_fits(
            connection,
            describe_table(connection, self._spec.table),
            sql.SQL("SELECT * FROM {}").format(staged),
            self._spec.columns,
            lambda rows: connection.execute(self._staging.filling(rows)).rowcount,
        )
        # What a trigger of the table kept out is neither loaded nor refused.
        return Published(moved.rows, int(counted[0]) - moved.rows - moved.refused, moved.rejects)
