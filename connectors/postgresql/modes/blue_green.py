"""blue_green: the new rows are loaded into a twin of the table, which then takes its place: no reader sees half.

Batches meet the twin's keys as they would those of the table, so that what is refused is told early. The table is
locked for the moment of the swap only.
"""

from __future__ import annotations

from typing import Any, ClassVar

import polars as pl
import psycopg
from psycopg import sql

from connectors.base import PartitionLoader, PublishCallback, Published, Resume, TargetError
from connectors.postgresql.ledger import Ledger, LedgerKey, full_load_key
from connectors.postgresql.load_mark import LoadMark
from connectors.postgresql.loader import CopyLoader, Destination, LoadPlace
from connectors.postgresql.modes.replace import nothing_to_load
from connectors.postgresql.publish import publish_once
from connectors.postgresql.sifted import Sifted
from connectors.postgresql.spec import LoadSpec
from connectors.postgresql.tables import describe_table, split_name
from connectors.postgresql.target import copy_statement, prepared_target
from connectors.postgresql.twin import (
    Twin,
    changed,
    complete_twin,
    make_twin,
    read_twin,
    take_place,
    twin_name,
)

_HELD = """
SELECT coalesce(sum(rows_done - rows_failed - rows_skipped), 0)::bigint FROM _headrace.{}
WHERE root_run_id = %s AND target_node = %s AND stage >= 0
"""


class BlueGreen:
    """See LoadMode."""

    resumable: ClassVar[bool] = False
    exclusive: ClassVar[bool] = True

    def __init__(self, spec: LoadSpec) -> None:
        self._spec = spec
        self._load_key = full_load_key(spec.run_id)
        self._schema, self._name = split_name(spec.table)
        self._new = sql.Identifier(self._schema, twin_name(self._name))
        # Set by `begin`: what an unlogged table counts must go with it in a crash of the server.
        self._ledger: Ledger = "ledger"
        self._names: dict[str, str] = {}

    @property
    def rows_apart(self) -> str:
        """See KeepsRowsApart."""
        return f"{self._schema}.{twin_name(self._name)}"

    def preview(self) -> str:
        """See LoadMode."""
        old, new = sql.Identifier(self._schema, self._name).as_string(), self._new.as_string()
        return "\n".join(
            [
                f"CREATE TABLE {new} (LIKE {old} INCLUDING ALL);",
                "-- its foreign keys, triggers, policies, privileges and everything else",
                copy_statement(self.rows_apart, self._spec.columns),
                f"BEGIN;\nDROP TABLE {old};",
                f"ALTER TABLE {new} RENAME TO {sql.Identifier(self._name).as_string()};\nCOMMIT;",
            ]
        )

    def begin(self) -> None:
        """See LoadMode. Raises TargetError: `cannot_be_swapped` with what stands in the way, `name_taken`."""
        with prepared_target(self._spec) as (connection, table):
            twin = read_twin(connection, table)
            self._ledger = "staging_ledger" if twin.unlogged else "ledger"
            self._names = twin.names
            with connection.transaction():
                there = self._there(connection)
                if there is not None and self._is_mine(there) and there.shape == twin.shape:
                    return
                if there is not None:  # of a load that died: who holds the table's lock is alone
                    connection.execute(sql.SQL("DROP TABLE {}").format(self._new))
                make_twin(connection, twin)
                mark = LoadMark.now(self._load_key, self._spec.target_node, self._spec.table, twin.shape)
                mark.put(connection, self._new)
                self._forget(connection)

    def loader(self, stage: int, partition: int, source_node: str) -> PartitionLoader:
        """See LoadMode."""
        destination = Destination(self.rows_apart, self._load_key, self._ledger, held=True)
        copies = CopyLoader(self._spec, LoadPlace(stage, partition, source_node), destination)
        return Sifted(copies, told=self._as_in_the_table)

    def publications(self) -> int:
        """The swap."""
        return 1

    def publish(self, stage: int, index: int, on_publish: PublishCallback) -> Resume:
        """See LoadMode. Raises TargetError(`nothing_to_load`) rather than leaving the table empty."""
        key = LedgerKey(self._load_key, self._spec.target_node, -1 - stage, index)
        return publish_once(self._spec, key, self._swap, on_publish)

    def finish(self) -> None:
        """See LoadMode. The twin is still there only when this run had been published by an earlier attempt."""
        with prepared_target(self._spec) as (connection, _):
            mark = LoadMark.parse(_comment(connection, self._new))
            if mark is not None and self._is_mine(mark):
                connection.execute(sql.SQL("DROP TABLE {}").format(self._new))

    def _there(self, connection: psycopg.Connection[Any]) -> LoadMark | None:
        """The mark of the twin that is there; None when there is none. Never somebody else's table."""
        name = self._new.as_string(connection)
        if connection.execute("SELECT to_regclass(%s) IS NULL", (name,)).fetchone() == (True,):
            return None
        mark = LoadMark.parse(_comment(connection, self._new))
        if mark is None or mark.table != self._spec.table:
            raise TargetError(
                "name_taken",
                f"{name} is needed for the new rows of {self._spec.table}, and is a table that is not Headrace's.",
                "Rename it, or drop it if nobody needs it.",
            )
        return mark

    def _is_mine(self, mark: LoadMark) -> bool:
        return (mark.load_key, mark.node) == (self._load_key, self._spec.target_node)

    def _forget(self, connection: psycopg.Connection[Any]) -> None:
        """With a new twin the partitions begin again, unless an earlier attempt has swapped already."""
        load = (self._load_key, self._spec.target_node)
        swapped = (
            "SELECT EXISTS (SELECT FROM _headrace.ledger WHERE root_run_id = %s AND target_node = %s AND stage < 0)"
        )
        if connection.execute(swapped, load).fetchone() == (False,):
            delete = sql.SQL("DELETE FROM _headrace.{} WHERE root_run_id = %s AND target_node = %s")
            connection.execute(delete.format(sql.Identifier(self._ledger)), load)

    def _swap(self, connection: psycopg.Connection[Any]) -> Published:
        table = describe_table(connection, self._spec.table)
        twin = read_twin(connection, table)
        mark = self._there(connection)
        if mark is None or not self._is_mine(mark):
            raise TargetError(
                "taken_over", f"{self._new.as_string(connection)} is not this run's any more.", "Retry the run."
            )
        if mark.shape != twin.shape:
            raise changed(table)
        loaded, sent = self._counted(connection, twin)
        complete_twin(connection, twin)
        take_place(connection, twin)
        return Published(loaded, skipped=sent - loaded)

    def _counted(self, connection: psycopg.Connection[Any], twin: Twin) -> tuple[int, int]:
        """The twin's rows, and those the ledger counts; they differ only by what a trigger kept out."""
        held = sql.SQL(_HELD).format(sql.Identifier("staging_ledger" if twin.unlogged else "ledger"))
        row = connection.execute(held, (self._load_key, self._spec.target_node)).fetchone()
        found = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(self._new)).fetchone()
        assert row is not None
        assert found is not None
        sent, there = int(row[0]), int(found[0])
        if there == 0:
            raise nothing_to_load(self._spec.table, "No rows came")
        if there > sent or (there < sent and not twin.triggered):
            raise TargetError(
                "rows_do_not_add_up",
                f"{self._new.as_string(connection)} holds {there:,} rows, but {sent:,} were loaded into it.",
                "Somebody else has written to it; retry the run.",
            )
        return there, sent

    def _as_in_the_table(self, rejects: pl.DataFrame) -> pl.DataFrame:
        """Refused cells tell constraints by the names they have in the table."""
        if rejects.is_empty() or not self._names:
            return rejects
        twins, names = list(self._names), list(self._names.values())
        quoted = [[f'"{name}"' for name in each] for each in (twins, names)]
        return rejects.with_columns(pl.col("error").str.replace_many(*quoted), pl.col("rule").replace(twins, names))


def _comment(connection: psycopg.Connection[Any], table: sql.Identifier) -> str | None:
    found = connection.execute(
        "SELECT obj_description(to_regclass(%s), 'pg_class')", (table.as_string(connection),)
    ).fetchone()
    return None if found is None else found[0]
