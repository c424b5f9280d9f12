"""What the statistics of a Parquet row group say about its rows without reading them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pyarrow.parquet import ColumnChunkMetaData, RowGroupMetaData

from connectors.base import Bound, Comparison

_LOW: dict[Comparison, Callable[[Any, Any], bool]] = {"<": operator.lt, "<=": operator.le, "=": operator.le}
"""What the smallest value must be to a bound's for any row to be within it."""
_HIGH: dict[Comparison, Callable[[Any, Any], bool]] = {">": operator.gt, ">=": operator.ge, "=": operator.ge}

_ORDERED: tuple[type, ...] = (int, Decimal, str, date, datetime)
"""Types whose statistics are sure: those of floats leave NaN out, which is above all others in a comparison."""


def none_within(group: RowGroupMetaData, bounds: Iterable[Bound]) -> bool:
    """Whether for some bound no row of the group can be within it."""
    wanted = {bound.column: bound for bound in bounds}
    if not wanted:
        return False
    found = {}
    for index in range(group.num_columns):
        column = group.column(index)
        found[column.path_in_schema] = column
    return any(bound.column in found and _outside(found[bound.column], bound) for bound in bounds)


def _outside(column: ColumnChunkMetaData, bound: Bound) -> bool:
    held = column.statistics
    if held is None:
        return False
    if held.has_null_count and held.null_count == column.num_values:
        return True  # a null is within no bound
    if not held.has_min_max:
        return False
    try:
        low, high = held.min, held.max
    except (OverflowError, ValueError):
        return False  # a date or a time beyond those that Python has
    if type(low) not in _ORDERED or not _alike(low, bound.value):
        return False
    if bound.comparison in _LOW and not _LOW[bound.comparison](low, bound.value):
        return True
    return bound.comparison in _HIGH and not _HIGH[bound.comparison](high, bound.value)


def _alike(held: object, value: object) -> bool:
    """Whether the two can be compared: a date and a time cannot, nor one with a zone and one without."""
    if isinstance(held, datetime) and isinstance(value, datetime):
        return (held.tzinfo is None) == (value.tzinfo is None)
    numbers = isinstance(held, int | Decimal) and isinstance(value, int | Decimal)
    return numbers or type(held) is type(value)
