"""Turns a batch from the server into typed rows, rejected cells and the position after it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from headrace.connectors.errors import SourceError
from headrace.connectors.mongodb.bson.layout import Malformed
from headrace.connectors.mongodb.bson.table import Table
from headrace.connectors.mongodb.cells import column
from headrace.connectors.mongodb.ranges import last
from headrace.connectors.mongodb.raw import packed
from headrace.connectors.source import ROW, Batch, Position, no_rejects
from headrace.ir.schema import Field, Schema

ID = "_id"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A field and its key; None for the whole document."""

    field: Field
    key: str | None


class Rows:
    """Converts the batches of one read to frames. `order` are the keys that documents are sorted by; empty for a
    view."""

    def __init__(self, chosen: Sequence[Chosen], order: Sequence[str], first_row: int, what: str) -> None:
        self._chosen, self._order, self._first, self._what = tuple(chosen), tuple(order), first_row, what
        keys = {each.key for each in chosen if each.key is not None} | {*order, ID}
        self._keys = [key.encode() for key in sorted(keys)]

    def batch(self, text: bytes, rows_done: int) -> Batch:
        """The documents of a batch, after `rows_done` of the partition. Raises SourceError(`bad_data`)."""
        try:
            table = Table.of(text, self._keys)
            frame, rejects = self._frame(table, self._chosen)
            place = self._position(table)
        except (Malformed, IndexError) as error:
            raise SourceError(
                "bad_data", f"{self._what}: the server sent invalid BSON: {error}.", "Is it MongoDB?"
            ) from None
        first = self._first + rows_done
        numbers = pl.int_range(first, first + table.rows, dtype=pl.Int64, eager=True).alias(ROW)
        whole = frame.with_columns(numbers)
        if rejects is not None:
            rejects = rejects.with_columns(pl.col("row") + first).sort("row", maintain_order=True)
            whole = whole.filter(~pl.col(ROW).is_in(rejects.get_column("row").implode()))
        del frame

        def cells(columns: Collection[str], rows: pl.Series) -> pl.DataFrame:
            named = [Chosen(Field(c.field.name, "text"), c.key) for c in self._chosen if c.field.name in columns]
            return self._frame(table, named)[0].with_columns(numbers).filter(pl.col(ROW).is_in(rows.implode()))

        def locate(rows: pl.Series) -> pl.Series:
            ids, _ = self._frame(table, [Chosen(Field(ID, "text"), ID)])
            found = ids.get_column(ID).gather((rows - first).cast(pl.Int64))
            return found.to_frame("id").select(pl.concat_str(pl.lit("_id="), "id").alias("place")).to_series()

        return Batch(
            whole,
            table.rows,
            rows_done + table.rows,
            rejects if rejects is not None else no_rejects(),
            place,
            cells=cells,
            locate=locate,
        )

    def _frame(self, table: Table, chosen: Sequence[Chosen]) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        series, rejects = [], []
        for each in chosen:
            found = table.whole() if each.key is None else table.found[each.key.encode()]
            read = column(table.buffer, found, each.field, table.rows)
            series.append(read.values)
            if read.rejects is not None:
                rejects.append(read.rejects)
        frame = pl.DataFrame(series) if series else pl.DataFrame(height=table.rows)
        return frame, pl.concat(rejects) if rejects else None

    def _position(self, table: Table) -> Position | None:
        if not self._order or not table.rows:
            return None
        values = last(table, [key.encode() for key in self._order])
        return None if values is None else {"by": list(self._order), "after": packed(values)}


def projection(chosen: Sequence[Chosen], order: Sequence[str], own: Mapping[str, int] | None) -> dict[str, int] | None:
    """The projection: that of the settings, else the keys that are read; None (all) if a key's name is not possible in
    a projection."""
    if own is not None:
        return dict(own)
    keys = {each.key for each in chosen} | {*order}
    if None in keys:
        return None
    named = [key for key in keys if key is not None]
    if any("." in key or key.startswith("$") or not key for key in named):
        return None
    return {ID: 1, **dict.fromkeys(sorted(named), 1)}


def fields(chosen: Sequence[Chosen]) -> Schema:
    """The fields of the columns."""
    return tuple(each.field for each in chosen)
