"""Splits a key into half-open ranges of about the same number of rows, by the server's statistics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from headrace.connectors.sql.relation import Scalar

T = TypeVar("T")

ROWS_EACH = 50_000
"""The least number of rows for which a partition is worth its connection."""


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Values from `low` (included; None: from the least) to below `high` (None: to the greatest), and where `nulls` is
    true those that are null."""

    low: Scalar = None
    high: Scalar = None
    nulls: bool = True

    def as_json(self) -> dict[str, Scalar]:
        """The range as JSON, for a partition's location."""
        return {"low": self.low, "high": self.high, "nulls": self.nulls}


def partitions_for(rows: int | None, asked: int, most: int) -> int:
    """The number of partitions for a relation of about `rows` rows: `asked` if given, at most `most`."""
    if asked:
        return min(asked, max(1, most))
    return 1 if rows is None else max(1, min(most, -(-rows // ROWS_EACH)))


def cuts(values: Sequence[T], weights: Sequence[float], parts: int) -> list[T]:
    """At most `parts - 1` of `values` (ascending, none twice), which split the rows into parts of about one weight.

    `weights[i]` is the share of the rows from `values[i]` on and below `values[i + 1]`; a cut is where a part begins.
    The least value is none: what is below it belongs to the first part too.
    """
    total = sum(weights)
    if total <= 0 or parts < 2:
        return []
    found: list[T] = []
    before = 0.0
    for place, weight in enumerate(weights):
        # the value at which the rows before it come nearest to a whole number of parts
        due = total * (len(found) + 1) / parts
        if place > 0 and before > 0 and (before >= due or due - before < before + weight - due):
            found.append(values[place])
            if len(found) == parts - 1:
                break
        before += weight
    return found


def of_histogram(bounds: Sequence[T], parts: int) -> list[T]:
    """The cuts of an equi-depth histogram, which has the same number of rows between consecutive bounds; ascending,
    distinct."""
    return cuts(bounds, [1.0] * (len(bounds) - 1) + [0.0], parts) if len(bounds) > 1 else []


def ranges(points: Sequence[Scalar]) -> list[KeyRange]:
    """The ranges between cuts (ascending, distinct), which together contain all values; nulls are in the first only."""
    return list(_ranges(points))


def _ranges(points: Sequence[Scalar]) -> Iterator[KeyRange]:
    lows: list[Scalar] = [None, *points]
    highs: list[Scalar] = [*points, None]
    for place, (low, high) in enumerate(zip(lows, highs, strict=True)):
        yield KeyRange(low, high, nulls=place == 0)
