"""Chooses the columns of a relation and their types, and converts frames of the server's values to batches."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import polars as pl

from headrace.connectors.casting.columns import ALWAYS_READABLE, cast_columns, cast_native, format_problem
from headrace.connectors.column_names import match_names, nearest_name
from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.errors import SourceError
from headrace.connectors.source import ROW, Batch, ColumnDetail, Position
from headrace.connectors.sql.relation import Column, Relation, Scalar
from headrace.connectors.sql.select import Asked
from headrace.ir.schema import Field, Schema

Explain = Callable[[pl.DataFrame, Mapping[str, Column]], pl.DataFrame]
Cast = Callable[[pl.Series, Field], tuple[pl.Series, pl.Series | None]]
"""A column in a field's type, and a mask of the cells that are not of it; see `cast_native`."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A field of the source's schema, and the column it is read from."""

    field: Field
    column: Column

    @property
    def as_declared(self) -> bool:
        """Whether the field's type differs from the server's."""
        own = replace(self.column.field, name=self.field.name)
        return self.field != own and not {self.field.data_type, own.data_type} <= {"text", "varchar"}

    @property
    def sure(self) -> bool:
        """Whether every value can be read."""
        return self.field.data_type in ALWAYS_READABLE or (self.column.sure and not self.as_declared)

    @property
    def asked(self) -> Asked:
        """The column to select."""
        return Asked(self.column, self.as_declared, self.sure)


def chosen(relation: Relation, names: Sequence[str] | None, declared: Schema) -> tuple[Chosen, ...]:
    """The configured columns, else the declared ones, else all; with declared types where given. Raises SourceError
    (`missing_column`, `bad_format`)."""
    fields = {field.name: field for field in declared}
    columns = {column.name: column for column in relation.columns}
    wanted = list(names) if names is not None else list(fields) or list(columns)
    places = match_names(wanted, list(columns))
    found = []
    for name in wanted:
        if name not in places:
            hint = nearest_name(name, list(columns)) or f"It has {', '.join(list(columns)[:20])}."
            raise SourceError("missing_column", f"{relation.name} has no column '{name}'.", hint)
        column = relation.columns[places[name]]
        field = fields.get(name) or replace(column.field, name=name)
        if problem := format_problem(field):
            raise SourceError("bad_format", f"Field '{name}': {problem}", "Use strptime codes such as %d.%m.%Y.")
        found.append(Chosen(field, column))
    return tuple(found)


def details(columns: Sequence[Chosen]) -> dict[str, ColumnDetail]:
    """The server's metadata of columns, by the names of their fields."""
    return {
        each.field.name: ColumnDetail(each.column.native, each.sure, each.column.nullable, each.column.comment)
        for each in columns
    }


class Rows:
    """Converts the frames of one read to numbered batches. `order` are the columns that the rows are ordered by; with
    `checked` (declared by the user) the order is verified."""

    def __init__(
        self,
        kept: Sequence[Chosen],
        order: Sequence[Column],
        first_row: int,
        *,
        checked: bool,
        weights: Mapping[str, Column] | None = None,
        explain: Explain | None = None,
        cast: Cast = cast_native,
    ) -> None:
        """`first_row` is the number of the partition's first row; `weights` are, by the names of ordered columns, the
        values that the server compares instead; `explain` adds reasons to rejected cells; `cast` converts columns."""
        self._weights = dict(weights or {}) if checked else {}
        self._explain = explain
        self._kept, self._ordered, self._first, self._checked = kept, tuple(order), first_row, checked
        self._cast = cast
        self._order = tuple(column.name for column in order)
        self._fields = tuple(
            # not checked again if the server enforces it
            Field(each.field.name, "text") if each.field.data_type in ("json", "uuid") and each.sure else each.field
            for each in kept
        )
        self._last: tuple[Any, ...] | None = None

    @property
    def asked(self) -> tuple[Asked, ...]:
        """Every column that has to be read."""
        asked = {each.column.name: each.asked for each in self._kept}
        besides = [*self._ordered, *self._weights.values()]
        return (*asked.values(), *(Asked(column) for column in besides if column.name not in asked))

    def batch(self, raw: pl.DataFrame, rows_done: int) -> Batch:
        """The rows of a frame, after `rows_done` of the partition. Raises SourceError for a key that is not unique."""
        first, height = self._first + rows_done, raw.height
        if self._checked and self._order:
            self._check(raw)
        numbers = pl.int_range(first, first + height, dtype=pl.Int64, eager=True)
        values = raw.select(pl.col(each.column.name).alias(each.field.name) for each in self._kept)
        frame, rejects, _ = cast_columns(values, numbers, self._fields, self._cast)
        if self._explain is not None and rejects.height:
            rejects = self._explain(rejects, {each.field.name: each.column for each in self._kept})
        keys = raw.select(self._order)

        def cells(columns: Collection[str], rows: pl.Series) -> pl.DataFrame:
            chosen = values.with_columns(numbers.alias(ROW)).filter(pl.col(ROW).is_in(rows.implode()))
            return chosen.select(ROW, *(pl.col(name).cast(pl.String) for name in columns if name in values.columns))

        def locate(rows: pl.Series) -> pl.Series:
            return _located(keys[(rows - first).to_list()])

        return Batch(
            frame,
            height,
            rows_done + height,
            rejects,
            position_of(raw, self._order) if self._order else None,
            cells=cells,
            locate=locate if self._order else None,
        )

    def _check(self, raw: pl.DataFrame) -> None:
        compared = [self._weights[name].name if name in self._weights else name for name in self._order]
        keys = raw.select(compared)
        said = ", ".join(self._order)
        if any(keys.get_column(name).null_count() for name in compared):
            raise SourceError("bad_key", f"The key ({said}) is null in some rows.", "Name columns that are never null.")
        first = keys.row(0)
        same = keys.select(pl.all_horizontal(pl.all() == pl.all().shift(1)).any()).item()
        if same or first == self._last:
            raise SourceError(
                "bad_key", f"Several rows have the same key ({said}).", "Name all columns that identify a row."
            )
        self._last = keys.row(-1)


def position_of(raw: pl.DataFrame, order: Sequence[str]) -> Position:
    """The position after the last row of a frame."""
    return {"by": list(order), "after": [scalar(value) for value in raw.select(order).row(-1)]}


def values_of_position(position: Position, order: Sequence[str]) -> list[Scalar]:
    """The values of a position. Raises SourceError(`bad_position`) where it was made by another key or cursor."""
    values = position.get("after") if isinstance(position, dict) else None
    if values is None or position.get("by") != list(order) or len(values) != len(order):
        raise SourceError(
            "bad_position",
            f"The stored position has another order than {', '.join(order)}.",
            "The cursor or the key of the source was changed: reset its cursor to read all of it again.",
        )
    return list(values)


def scalar(value: Any) -> Scalar:
    """A value for JSON, without loss."""
    match value:
        case datetime():
            return value.isoformat(" ")
        case date() | time():
            return value.isoformat()
        case Decimal():
            return str(value)
        case bytes():
            return value.hex()
    assert value is None or isinstance(value, str | int | float)
    return value


def empty(fields: Schema) -> pl.DataFrame:
    """An empty frame of these fields."""
    return pl.DataFrame(schema={field.name: polars_dtype(field) for field in fields} | {ROW: pl.Int64})


def _located(keys: pl.DataFrame) -> pl.Series:
    said = pl.concat_str(
        [pl.format("{}={}", pl.lit(name), pl.col(name).cast(pl.String)) for name in keys.columns], separator=", "
    )
    return keys.select(said.alias("place")).to_series()
