"""The setting `changes` of a source node that reads a PostgreSQL table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, StringConstraints, model_validator

from headrace.connectors.specs.base import ClosedConfig
from headrace.connectors.sql.settings import Name, SqlSettings, keys_only
from headrace.ir.problems import fault
from headrace.ir.schema import DataType, Field

ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=63)]

METADATA: Mapping[str, DataType] = {
    "lsn": "text",
    "sequence": "bigint",
    "xid": "bigint",
    "committedAt": "timestamptz",
}
"""What of a change can become a column, and its type."""


class ChangeSettings(ClosedConfig):
    """Reads the table once, and then every change of it."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    publication: Name | None = None
    """A publication that the table is in. By default one is made with the slot, which the owner of the table may do."""
    snapshot: bool = True
    """Whether the first run reads the rows that the table has; otherwise only changes after it are read."""
    operation: Literal["op", "__op"] = "op"
    """The column with the operation: `r` (a row of the snapshot), `c`, `u`, `d`, `t` (a truncate). `__op` is for tables
    that have a column `op`."""
    metadata: dict[str, ColumnName] = {}
    """Metadata of changes as columns: `lsn` (of the commit), `sequence` (the order of the changes of one
    transaction; it grows, with gaps), `xid`, `committedAt`."""
    on_truncate: Literal["apply", "ignore", "fail"] = "apply"
    """What a `TRUNCATE` of the table does: it is an event `t`, it is left out, or the run fails."""
    on_lost_slot: Literal["fail", "snapshot"] = "fail"
    """What a run does when changes may be missing, because the slot is gone or was invalidated: fails, or reads the
    table again with a new slot, after an event `t`."""
    unchanged_values: Literal["current", "error"] | None = None
    """What is done with a large value (TOAST) that an update did not change, and that is therefore not in the log, if
    it cannot be known as of the update. `current` reads it from the table; if it was changed again since, the event of
    that change follows. `error`: an error row. By default `current` if all targets are `cdc_mirror`, else `error`."""

    @model_validator(mode="after")
    def _known(self) -> ChangeSettings:
        for name in self.metadata:
            if name not in METADATA:
                raise fault("bad_option", f"a change has no metadata '{name}'", f"choose from {', '.join(METADATA)}")
        columns = [self.operation, *self.metadata.values()]
        if len(set(columns)) < len(columns):
            raise fault("bad_option", "two columns of 'metadata' and 'operation' have the same name", "rename one")
        return self

    @property
    def columns(self) -> Mapping[str, Field]:
        """The columns of metadata, by the name of the metadata."""
        return {name: Field(column, METADATA[name]) for name, column in self.metadata.items()}


class PostgresSettings(SqlSettings):
    """The source config of a PostgreSQL database."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    changes: ChangeSettings | None = None
    """Change data capture: reads the table once, and then every change of it from a logical replication slot."""

    @model_validator(mode="after")
    def _of_a_table(self) -> PostgresSettings:
        if self.changes is None:
            return self
        if self.table is None:
            raise fault("bad_option", "'changes' are those of a table", "name it in 'table'")
        if self.cursor is not None:
            raise fault("bad_option", "'changes' need no 'cursor'", "remove one of them")
        if self.partitions.by == "ctid":
            raise fault("bad_option", "a table with 'changes' is split by its key", "remove partitioning.by")
        return self


def continues(settings: Mapping[str, Any]) -> bool:
    """Whether a run continues where the one before ended."""
    return settings.get("cursor") is not None or settings.get("changes") is not None


def keeps(settings: Mapping[str, Any]) -> bool:
    """Whether runs keep a replication slot."""
    return settings.get("changes") is not None


def plain_keys(settings: Mapping[str, Any], columns: Sequence[str]) -> Mapping[str, Any]:
    """`Connector.keys`: those of the table as it is."""
    return keys_only({name: value for name, value in settings.items() if name != "changes"}, columns)
