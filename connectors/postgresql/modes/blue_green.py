"""blue_green: rows are loaded into a shadow table, which then replaces the table: no reader sees a partial load.

The shadow table has the table's keys, so violations are found while batches are loaded. Indexes that cannot refuse a
row, and the key of an identity that the data lack, are built once before the swap, in its transaction. The table is
locked only for the swap.
"""

from __future__ import annotations

from typing import Any, ClassVar

import polars as pl
import psycopg
from psycopg import sql

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.ledger.partitions import Ledger, LedgerKey, full_load_key
from headrace.connectors.postgresql.ledger.resume_check import ReloadEffect
from headrace.connectors.postgresql.load.filtering_loader import FilteringLoader
from headrace.connectors.postgresql.load.loader import CopyLoader, Destination, PartitionRef
from headrace.connectors.postgresql.load.prepare import copy_statement, prepare_target
from headrace.connectors.postgresql.load.publication import publish_once
from headrace.connectors.postgresql.load.spec import LoadSpec
from headrace.connectors.postgresql.modes.replace import may_be_empty, nothing_to_load
from headrace.connectors.postgresql.swap.shadow_table import (
    ShadowTable,
    complete_shadow,
    create_shadow,
    describe_shadow,
    shadow_name,
    swap_in,
    target_changed,
)
from headrace.connectors.postgresql.tables.describe import describe_table, split_name
from headrace.connectors.postgresql.tables.table_owner_tag import TableOwnerTag
from headrace.connectors.target import PartitionLoader, PublishCallback, Published, Resume

_SWAPPED = """
SELECT EXISTS (
  SELECT FROM _headrace.ledger WHERE root_run_id = %s AND target_node = %s AND kind = 'publication')
"""

_HELD = """
SELECT coalesce(sum(rows_done - rows_failed - rows_skipped), 0)::bigint FROM _headrace.{}
WHERE root_run_id = %s AND target_node = %s AND kind = 'load'
"""


class BlueGreen:
    """Loads into a shadow table and swaps it in."""

    resumable: ClassVar[bool] = False
    exclusive: ClassVar[bool] = True
    beside: ClassVar[int] = 1
    again: ReloadEffect = "over"

    def __init__(self, spec: LoadSpec) -> None:
        self._spec = spec
        self._load_key = full_load_key(spec.run_id)
        self._schema, self._name = split_name(spec.table)
        self._new = sql.Identifier(self._schema, shadow_name(self._name))
        # Set by `begin`. Rows of an unlogged table are counted in the unlogged ledger, so that a crash empties both.
        self._ledger: Ledger = "ledger"
        self._names: dict[str, str] = {}

    @property
    def shadow_table_name(self) -> str:
        """The shadow table that loads go into, `schema.table`."""
        return f"{self._schema}.{shadow_name(self._name)}"

    def preview(self) -> str:
        old, new = sql.Identifier(self._schema, self._name).as_string(), self._new.as_string()
        return "\n".join(
            [
                f"CREATE TABLE {new} (LIKE {old} INCLUDING ALL);",
                "-- its foreign keys, triggers, policies, privileges and everything else",
                copy_statement(self.shadow_table_name, self._spec.columns),
                f"BEGIN;\nDROP TABLE {old};",
                f"ALTER TABLE {new} RENAME TO {sql.Identifier(self._name).as_string()};\nCOMMIT;",
            ]
        )

    def begin(self) -> None:
        """Creates the shadow table. Raises TargetError: `cannot_be_swapped` with the obstacles, `name_taken`."""
        with prepare_target(self._spec) as (connection, table):
            shadow = describe_shadow(connection, table, self._spec.columns)
            self._ledger = "staging_ledger" if shadow.unlogged else "ledger"
            self._names = shadow.names
            with connection.transaction():
                there = self._there(connection)
                if there is not None and self._is_mine(there) and there.shape == shadow.shape:
                    return
                if there is not None:  # of a dead load: no other load runs, because this run holds the table's lock
                    connection.execute(sql.SQL("DROP TABLE {}").format(self._new))
                create_shadow(connection, shadow)
                mark = TableOwnerTag.now(self._load_key, self._spec.target_node, self._spec.table, shadow.shape)
                mark.put(connection, self._new)
                self._forget(connection)

    def loader(self, stage: int, partition: int, source_node: str) -> PartitionLoader:
        destination = Destination(self.shadow_table_name, self._load_key, self._ledger, held=True)
        copies = CopyLoader(self._spec, PartitionRef(stage, partition, source_node), destination)
        return FilteringLoader(copies, rewrite_rejects=self._as_in_the_table)

    def publications(self) -> int:
        """1: the swap."""
        return 1

    def publish(self, stage: int, index: int, on_publish: PublishCallback) -> Resume:
        """Swaps the tables. Raises TargetError(`nothing_to_load`) instead of leaving the table empty."""
        key = LedgerKey(self._load_key, self._spec.target_node, stage, index, kind="publication")
        return publish_once(self._spec, key, lambda each: self._swap(each, key), on_publish, publications=1)

    def finish(self) -> None:
        """Drops the shadow table; it still exists only if an earlier attempt of this run had published."""
        with prepare_target(self._spec) as (connection, _):
            mark = TableOwnerTag.parse(_comment(connection, self._new))
            if mark is not None and self._is_mine(mark):
                connection.execute(sql.SQL("DROP TABLE {}").format(self._new))

    def _there(self, connection: psycopg.Connection[Any]) -> TableOwnerTag | None:
        """The tag of the existing shadow table, or None. Raises TargetError(`name_taken`) for a table that is not
        Headrace's."""
        name = self._new.as_string(connection)
        if connection.execute("SELECT to_regclass(%s) IS NULL", (name,)).fetchone() == (True,):
            return None
        mark = TableOwnerTag.parse(_comment(connection, self._new))
        if mark is None or mark.table != self._spec.table:
            raise TargetError(
                "name_taken",
                f"The new rows of {self._spec.table} need the name {name}, which another table has.",
                "Rename it, or drop it if nobody needs it.",
            )
        return mark

    def _is_mine(self, mark: TableOwnerTag) -> bool:
        return (mark.load_key, mark.node) == (self._load_key, self._spec.target_node)

    def _forget(self, connection: psycopg.Connection[Any]) -> None:
        """Resets the partitions after a new shadow table was created, unless an earlier attempt has already swapped."""
        load = (self._load_key, self._spec.target_node)
        if connection.execute(_SWAPPED, load).fetchone() == (False,):
            delete = sql.SQL("DELETE FROM _headrace.{} WHERE root_run_id = %s AND target_node = %s")
            connection.execute(delete.format(sql.Identifier(self._ledger)), load)

    def _swap(self, connection: psycopg.Connection[Any], key: LedgerKey) -> Published:
        table = describe_table(connection, self._spec.table)
        shadow = describe_shadow(connection, table, self._spec.columns)
        mark = self._there(connection)
        if mark is None or not self._is_mine(mark):
            raise TargetError(
                "taken_over", f"{self._new.as_string(connection)} is not this run's any more.", "Retry the run."
            )
        if mark.shape != shadow.shape:
            raise target_changed(table)
        loaded, sent = self._counted(connection, shadow, key)
        complete_shadow(connection, shadow)
        swap_in(connection, shadow)
        return Published(loaded, skipped=sent - loaded, kept_out=sent - loaded)

    def _counted(self, connection: psycopg.Connection[Any], shadow: ShadowTable, key: LedgerKey) -> tuple[int, int]:
        """(rows in the shadow table, rows counted by the ledger). They may differ only by rows that a trigger
        suppressed."""
        held = sql.SQL(_HELD).format(sql.Identifier("staging_ledger" if shadow.unlogged else "ledger"))
        row = connection.execute(held, (self._load_key, self._spec.target_node)).fetchone()
        found = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(self._new)).fetchone()
        assert row is not None
        assert found is not None
        sent, there = int(row[0]), int(found[0])
        if there == 0 and not may_be_empty(self._spec, connection, key):
            raise nothing_to_load(self._spec.table, "No rows came")
        if there > sent or (there < sent and not shadow.triggered):
            raise TargetError(
                "rows_do_not_add_up",
                f"{self._new.as_string(connection)} holds {there:,} rows, but {sent:,} were loaded into it.",
                "Somebody else has written to it; retry the run.",
            )
        return there, sent

    def _as_in_the_table(self, rejects: pl.DataFrame) -> pl.DataFrame:
        """Replaces the names of the shadow table's constraints in rejects by the table's."""
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
