"""replace, truncate: the table holds exactly the rows of this run, from one moment to the next.

The rows are staged, then one transaction empties and fills the table. `replace` uses DELETE, so that readers never
wait; `truncate` uses TRUNCATE (see `connectors.postgresql.swap.truncate`). A load of no rows is refused before anything
is deleted.
"""

from __future__ import annotations

from typing import Any, ClassVar

import psycopg
from psycopg import sql

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.copy.rejected_rows import move_accepted_rows
from headrace.connectors.postgresql.ledger.partitions import LedgerKey, full_load_key, rows_read
from headrace.connectors.postgresql.ledger.resume_check import ReloadEffect
from headrace.connectors.postgresql.load.loader import CopyLoader, PartitionRef
from headrace.connectors.postgresql.load.prepare import copy_statement, prepare_target
from headrace.connectors.postgresql.load.publication import publish_once
from headrace.connectors.postgresql.load.spec import LoadSpec
from headrace.connectors.postgresql.load.staging import Staging
from headrace.connectors.postgresql.swap.truncate import EmptyMethod, empty_table
from headrace.connectors.postgresql.tables.describe import describe_table, split_name
from headrace.connectors.target import PartitionLoader, PublishCallback, Published, Resume


class Replace:
    """Stages rows; one transaction deletes the old rows and inserts the new ones."""

    resumable: ClassVar[bool] = False
    exclusive: ClassVar[bool] = True
    beside: ClassVar[int] = 3
    again: ReloadEffect = "over"
    means: ClassVar[EmptyMethod] = "delete"

    def __init__(self, spec: LoadSpec) -> None:
        self._spec = spec
        self._staging = Staging(spec, full_load_key(spec.run_id))

    def preview(self) -> str:
        staged = copy_statement(f"_headrace.{self._staging.name}", self._spec.columns)
        emptied = "DELETE FROM" if self.means == "delete" else "TRUNCATE"
        filled = self._staging.filling(self._staging.identifier).as_string()
        return f"{staged}\nBEGIN;\n{emptied} {self._target.as_string()};\n{filled};\nCOMMIT;"

    def begin(self) -> None:
        with prepare_target(self._spec) as (connection, table):
            self._staging.create(connection, table)

    def loader(self, stage: int, partition: int, source_node: str) -> PartitionLoader:
        return CopyLoader(self._spec, PartitionRef(stage, partition, source_node), self._staging.destination)

    def publications(self) -> int:
        """1: the table is emptied and filled at once."""
        return 1

    def publish(self, stage: int, index: int, on_publish: PublishCallback) -> Resume:
        """Replaces the rows. Raises TargetError(`nothing_to_load`) instead of leaving the table empty."""

        def unless_nothing_is_left(published: Published) -> Resume:
            after = on_publish(published)  # records every rejected row, even if the load fails
            sent = published.skipped + published.rejects.height
            if published.loaded == 0 and not (self._spec.allow_empty and sent == 0):
                raise nothing_to_load(self._spec.table, "The database refused every row")
            return after

        key = self._staging.publication(stage, index)
        return publish_once(self._spec, key, lambda each: self._swap(each, key), unless_nothing_is_left, publications=1)

    def finish(self) -> None:
        with prepare_target(self._spec) as (connection, _):
            self._staging.drop(connection)

    @property
    def _target(self) -> sql.Identifier:
        return sql.Identifier(*split_name(self._spec.table))

    def _swap(self, connection: psycopg.Connection[Any], key: LedgerKey) -> Published:
        staged = sql.SQL("SELECT * FROM {}").format(self._staging.identifier)
        counted = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(self._staging.identifier)).fetchone()
        if counted is None or (counted[0] == 0 and not may_be_empty(self._spec, connection, key)):
            raise nothing_to_load(self._spec.table, "No rows came")
        # Rows hidden by a policy would stay: an error is better than a partial replacement.
        connection.execute("SET LOCAL row_security = off")
        table = describe_table(connection, self._spec.table)
        check = empty_table(connection, table, self.means)
        moved = move_accepted_rows(
            connection,
            table,
            staged,
            self._spec.columns,
            lambda rows: connection.execute(self._staging.filling(rows)).rowcount,
        )
        check()
        # Rows that a trigger of the table keeps out are neither loaded nor rejected.
        kept_out = int(counted[0]) - moved.rows - moved.refused
        return Published(moved.rows, kept_out, moved.rejects, kept_out=kept_out)


class Truncate(Replace):
    """Like `Replace`, with TRUNCATE instead of DELETE."""

    means: ClassVar[EmptyMethod] = "truncate"


def may_be_empty(spec: LoadSpec, connection: psycopg.Connection[Any], key: LedgerKey) -> bool:
    """Whether a load without rows may empty the table: the target allows it, and the source had none. Failed or skipped
    rows are no reason."""
    return spec.allow_empty and rows_read(connection, key) == 0


def nothing_to_load(table: str, what: str) -> TargetError:
    """The error that keeps a table from being emptied by accident."""
    return TargetError(
        "nothing_to_load",
        f"{what} for {table}, so it was not changed.",
        "Check the source, the filters and the run's errors; to empty the table on purpose, delete its rows yourself.",
    )
