"""Values of a type as a double sends them in Arrow, and the expected values in a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa

from headrace.connectors.source import ROW, Discovery, Source

ERROR = object()
"""The row is an error row with the value's text."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A column of one type: `data_type` of the field that it becomes, `pairs` of a value and what it is in a batch.
    `more` describes the column further to the client."""

    arrow: pa.DataType
    data_type: str
    pairs: Sequence[tuple[Any, Any]]
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def array(self) -> pa.Array:
        """The values, and null at the end."""
        return pa.array([*(value for value, _ in self.pairs), None], self.arrow)


def unchanged(*values: Any) -> list[tuple[Any, Any]]:
    """Pairs of values that arrive as they are."""
    return [(value, value) for value in values]


def read_as_expected(source: Source, expected: Sequence[Any]) -> Discovery:
    """Reads the only column: each value is as expected and of that type, null is at the end, and rows with others are
    rejected. Returns the discovery."""
    found = source.discover(max_partitions=1)
    [column] = [each.name for each in found.schema]
    batches = list(source.read(found.partitions[0], found.schema))
    frame = pl.concat(batch.frame for batch in batches)
    rejects = pl.concat(batch.rejects for batch in batches)
    wanted = {row: value for row, value in enumerate([*expected, None], 1) if value is not ERROR}
    read = dict(zip(frame[ROW], frame[column], strict=True))
    assert list(map(_seen, read.items())) == list(map(_seen, wanted.items()))
    assert rejects["row"].to_list() == [row for row, value in enumerate(expected, 1) if value is ERROR]
    assert set(rejects["column"]) <= {column}
    assert (column in found.sure) <= (ERROR not in expected)
    return found


def _seen(row: tuple[int, Any]) -> tuple[int, str, Any]:
    """Tells -0.0 from 0.0, and compares NaN."""
    number, value = row
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC)
    return number, type(value).__name__, value if isinstance(value, Decimal) else repr(value)
