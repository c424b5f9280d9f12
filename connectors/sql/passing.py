"""Rows of a source that are passed on to a PostgreSQL as the server writes them (`connectors.source.Passed`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from headrace.connectors.source import ROW, Batch, Discovery, Passable, Passed
from headrace.connectors.sql.columns import Chosen
from headrace.connectors.sql.dialect import Dialect, PassingRows
from headrace.connectors.sql.relation import Column, Relation
from headrace.connectors.sql.select import Asked, Select

_NOTHING = Passable({})


def passable(dialect: Dialect, relation: Relation, columns: Sequence[Chosen], found: Discovery) -> Passable:
    """What can be passed: columns that are read as what they are, where every partition is ordered by a key that the
    server vouches for."""
    if not isinstance(dialect, PassingRows):
        return _NOTHING
    orders = {tuple(partition.location.get("order", ())) for partition in found.partitions}
    by_name = {each.column.name: each for each in columns}
    for order in orders:
        keys = [relation.column(name, "key") for name in order]
        read = all(name in by_name for name in order)
        if not keys or not read or named_by_user(relation, keys) or not all(map(dialect.passes_key, keys)):
            return _NOTHING
    types = {each.field.name: each.column.native for each in columns if not each.as_declared}
    types = {name: native for name, native in types.items() if dialect.passes(_column(columns, name))}
    return Passable(types, frozenset(by_name[name].field.name for order in orders for name in order))


def passed_rows(
    dialect: Dialect,
    select: Select,
    columns: Sequence[Chosen],
    passed: Passed,
    first_row: int,
    rows_done: int,
    size: int,
    place: Mapping[str, Any],
) -> Iterator[Batch]:
    """The batches after `rows_done` rows of a partition. Raises NotPassed, SourceError."""
    assert isinstance(dialect, PassingRows), "only what is `passable` is asked for"
    asked = [Asked(_column(columns, name)) for name in passed.columns]
    names = [column.name for column in select.order]
    rows = dialect.passed(replace(select, asked=asked), passed.beside, rows=size, snapshot=place.get("snapshot"))
    for frame, last in rows:
        first, rows_done = first_row + rows_done, rows_done + frame.height
        numbers = pl.int_range(first, first + frame.height, dtype=pl.Int64, eager=True).alias(ROW)
        yield Batch(frame.with_columns(numbers), frame.height, rows_done, position={"by": names, "after": last})


def named_by_user(relation: Relation, order: Sequence[Column]) -> bool:
    """Whether rows are ordered by columns of which the server does not say that they tell all rows apart."""
    return not set(relation.key) <= {column.name for column in order} or not relation.key


def _column(columns: Sequence[Chosen], name: str) -> Column:
    return next(each.column for each in columns if each.field.name == name)
