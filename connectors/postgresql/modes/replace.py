"""replace, truncate: the table holds what this run read and nothing else, from one moment to the next.

The rows are staged, then one transaction empties the table and fills it; `replace` deletes, so that readers never wait,
`truncate` truncates (`connectors.postgresql.emptying` says what that means for them). A load of no rows at all is
refused before anything is removed.
"""

from __future__ import annotations

from typing import Any, ClassVar

import psycopg
from psycopg import sql

from connectors.base import PartitionLoader, PublishCallback, Published, Resume, TargetError
from connectors.postgresql.emptying import Means, empty
from connectors.postgresql.ledger import full_load_key
from connectors.postgresql.loader import CopyLoader, LoadPlace
from connectors.postgresql.publish import publish_once
from connectors.postgresql.refusals import move_what_fits
from connectors.postgresql.spec import LoadSpec
from connectors.postgresql.staging import Staging
from connectors.postgresql.tables import describe_table, split_name
from connectors.postgresql.target import copy_statement, prepared_target


class Replace:
    """See LoadMode."""

    resumable: ClassVar[bool] = False
    exclusive: ClassVar[bool] = True
    means: ClassVar[Means] = "delete"

    def __init__(self, spec: LoadSpec) -> None:
        self._spec = spec
        self._staging = Staging(spec, full_load_key(spec.run_id))

    def preview(self) -> str:
        """See LoadMode."""
        staged = copy_statement(f"_headrace.{self._staging.name}", self._spec.columns)
        emptied = "DELETE FROM" if self.means == "delete" else "TRUNCATE"
        filled = self._staging.filling(self._staging.identifier).as_string()
        return f"{staged}\nBEGIN;\n{emptied} {self._target.as_string()};\n{filled};\nCOMMIT;"

    def begin(self) -> None:
        """See LoadMode."""
        with prepared_target(self._spec) as (connection, table):
            self._staging.create(connection, table)

    def loader(self, stage: int, partition: int, source_node: str) -> PartitionLoader:
        """See LoadMode."""
        return CopyLoader(self._spec, LoadPlace(stage, partition, source_node), self._staging.destination)

    def publications(self) -> int:
        """The table is emptied and filled at once."""
        return 1

    def publish(self, stage: int, index: int, on_publish: PublishCallback) -> Resume:
        """See LoadMode. Raises TargetError(`nothing_to_load`) rather than leaving the table empty."""

        def unless_nothing_is_left(published: Published) -> Resume:
            after = on_publish(published)  # tells every refused row, whatever becomes of the load
            if published.loaded == 0:
                raise nothing_to_load(self._spec.table, "The database refused every row")
            return after

        key = self._staging.publication(stage, index)
        return publish_once(self._spec, key, self._swap, unless_nothing_is_left)

    def finish(self) -> None:
        """See LoadMode."""
        with prepared_target(self._spec) as (connection, _):
            self._staging.drop(connection)

    @property
    def _target(self) -> sql.Identifier:
        return sql.Identifier(*split_name(self._spec.table))

    def _swap(self, connection: psycopg.Connection[Any]) -> Published:
        staged = sql.SQL("SELECT * FROM {}").format(self._staging.identifier)
        counted = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(self._staging.identifier)).fetchone()
        if counted is None or counted[0] == 0:
            raise nothing_to_load(self._spec.table, "No rows came")
        # Rows that a policy hides would stay: rather an error than half a replacement.
        connection.execute("SET LOCAL row_security = off")
        table = describe_table(connection, self._spec.table)
        check = empty(connection, table, self.means)
        moved = move_what_fits(
            connection,
            table,
            staged,
            self._spec.columns,
            lambda rows: connection.execute(self._staging.filling(rows)).rowcount,
        )
        check()
        # What a trigger of the table kept out is neither loaded nor refused.
        return Published(moved.rows, int(counted[0]) - moved.rows - moved.refused, moved.rejects)


class Truncate(Replace):
    """See LoadMode."""

    means: ClassVar[Means] = "truncate"


def nothing_to_load(table: str, what: str) -> TargetError:
    """The error that keeps a table from being emptied by accident."""
    return TargetError(
        "nothing_to_load",
        f"{what} for {table}, so it was left as it is.",
        "Check the source, the filters and the run's errors; to empty the table on purpose, delete its rows yourself.",
    )
