"""Lookup tables: read once per run, kept in memory, shared by its partitions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.errors import TargetError
from headrace.flows.compile.provenance import TableColumn
from headrace.ir.schema import Field, Schema


@dataclass(frozen=True, slots=True)
class ReferenceTable:
    """A registered table. `read(columns, keys)` gives these columns in the types of `fields`, without rows that have a
    null in one of the first `keys` columns; it raises TargetError."""

    name: str
    fields: Schema
    read: Callable[[Sequence[str], int], pl.DataFrame]

    def field(self, column: str) -> Field | None:
        """The column of that name."""
        return next((field for field in self.fields if field.name == column), None)


class Broadcast:
    """Some columns of a lookup table, keys first. Thread-safe: the first thread loads it."""

    def __init__(
        self, table: ReferenceTable, keys: Sequence[Field], columns: Sequence[Field] = (), *, unique: bool = False
    ) -> None:
        """`unique`: `load` raises when two rows have the same keys."""
        fields = {field.name: polars_dtype(field) for field in (*keys, *columns)}
        self._table, self._keys, self._unique = table, [field.name for field in keys], unique
        self._rows = pl.DataFrame(schema=pl.Schema(fields))
        self._loaded = False
        self._lock = threading.Lock()

    @property
    def rows(self) -> pl.DataFrame:
        """The rows; none before `load`, so that a plan can be typed without reading."""
        return self._rows

    @property
    def keys(self) -> tuple[TableColumn, ...]:
        """The columns by which rows are found."""
        return tuple(TableColumn(self._table.name, name) for name in self._keys)

    def load(self) -> None:
        """Reads the rows, once. Raises TargetError."""
        with self._lock:
            if self._loaded:
                return
            rows = self._table.read(self._rows.columns, len(self._keys))
            if self._unique:
                self._refuse_duplicates(rows.select(self._keys))
            self._rows, self._loaded = rows, True

    def _refuse_duplicates(self, keys: pl.DataFrame) -> None:
        twice = keys.filter(keys.is_duplicated()).n_unique()
        if twice:
            names = ", ".join(keys.columns)
            raise TargetError(
                "duplicate_key",
                f"Rows cannot be looked up in {self._table.name} by {names}: "
                f"{twice:,} of its values are there more than once.",
                "Look up by columns that are unique in that table.",
            )


def qualified(table: str) -> str:
    """The table with its schema: `public` where none is named."""
    return table if "." in table else f"public.{table}"
