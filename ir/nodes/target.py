"""The target node: the table that rows are loaded into, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from headrace.ir.base import ColumnName, Shorthand, TableName, item_schema
from headrace.ir.hooks import Hooks
from headrace.ir.nodes.base import SingleInput

LoadModeName = Literal[
    "append", "upsert", "replace", "truncate", "blue_green", "incremental_watermark", "cdc_mirror", "scd2"
]

SchemaContract = Literal["evolve", "freeze", "discard_row", "discard_value"]


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class TargetNode(SingleInput):
    """Loads rows into `schema` (a qualified table). `mapping` is target column → incoming column where names differ.

    `upsertKey` (one column or several) identifies rows for upsert, cdc_mirror and scd2; `watermarkColumn` orders them
    for incremental_watermark. Both are columns of the table.

    `schemaContract` decides about incoming columns that the table lacks: they are added to it (`evolve`), the run fails
    (`freeze`), rows with a value in one are skipped (`discard_row`), or the values are left out (`discard_value`).
    `preHook` runs before the first row, `postHook` after the last. `backupBeforeLoad` copies the existing rows.
    """

    kind: Literal["target"]
    target_schema: TableName = Field(alias="schema")
    """The table; it belongs to one of the tenant's schemas."""
    load_mode: LoadModeName = "append"
    """How rows are written to the table."""
    upsert_key: Annotated[tuple[ColumnName, ...], BeforeValidator(_several), Shorthand(item_schema)] = ()
    """The columns of the table that identify a row."""
    watermark_column: ColumnName | None = None
    """The column of the table that rows are ordered by."""
    mapping: dict[ColumnName, ColumnName] = Field(default_factory=dict)
    """Column of the table → incoming column, where names differ."""
    schema_contract: SchemaContract = "discard_value"
    """What to do with incoming columns that the table lacks."""
    pre_hook: Hooks = ()
    """Run before the first row is loaded."""
    post_hook: Hooks = ()
    """Run when all rows are visible."""
    backup_before_load: bool = False
    """Copy the existing rows to `<table>__backup_<run>`."""

    @property
    def table(self) -> str:
        """The qualified table: `public` where no schema is named."""
        return self.target_schema if "." in self.target_schema else f"public.{self.target_schema}"
