"""Measures of dataset rules: numbers that are computed per batch and merged, in any order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

Values = tuple[int | float | None, ...]
"""None if there was no value."""

Measured = Mapping[str, Values]
"""By the name of the measure."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Each expression in `values` gives one number for a frame; `merge` combines the numbers of two frames. Equal names
    mean equal measures."""

    name: str
    values: tuple[pl.Expr, ...]
    merge: Callable[[Values, Values], Values]


def measure(frame: pl.DataFrame, measures: Iterable[Measure]) -> dict[str, Values]:
    """The values of measures for a frame, which may be empty."""
    wanted = {f"{each.name}.{index}": value for each in measures for index, value in enumerate(each.values)}
    if not wanted:
        return {}
    row = frame.select(value.alias(name) for name, value in wanted.items()).row(0, named=True)
    return {each.name: tuple(row[f"{each.name}.{index}"] for index in range(len(each.values))) for each in measures}


def merged(measures: Iterable[Measure], parts: Sequence[Measured]) -> dict[str, Values]:
    """The measures of all parts merged; a part without one had no rows."""
    found: dict[str, Values] = {}
    for each in measures:
        for part in parts:
            if each.name in part:
                found[each.name] = (
                    each.merge(found[each.name], part[each.name]) if each.name in found else part[each.name]
                )
    return found


def stored(measured: Measured) -> dict[str, list[int | str | None]]:
    """As JSON, floats as text: JSON has neither infinity nor NaN, and PostgreSQL's jsonb writes 1e300 as an integer."""
    return {
        name: [repr(value) if isinstance(value, float) else value for value in values]
        for name, values in measured.items()
    }


def restored(measured: Mapping[str, Sequence[int | str | None]]) -> dict[str, Values]:
    """The inverse of `stored`."""
    return {
        name: tuple(float(value) if isinstance(value, str) else value for value in values)
        for name, values in measured.items()
    }


def added(one: Values, other: Values) -> Values:
    """Merges sums."""
    return tuple(_either(a, b, lambda a, b: a + b) for a, b in zip(one, other, strict=True))


def least(one: Values, other: Values) -> Values:
    """Merges minima; NaN only if there are no other values, as in polars."""
    return tuple(
        _either(a, b, lambda a, b: b if a > b or math.isnan(a) else a) for a, b in zip(one, other, strict=True)
    )


def greatest(one: Values, other: Values) -> Values:
    """Merges maxima; NaN only if there are no other values, as in polars."""
    return tuple(
        _either(a, b, lambda a, b: b if a < b or math.isnan(a) else a) for a, b in zip(one, other, strict=True)
    )


def moments(one: Values, other: Values) -> Values:
    """Merges (count, mean, sum of squared deviations from the mean) as in Chan, Golub and LeVeque, "Algorithms for
    Computing the Sample Variance" (1983), which avoids differences of large numbers."""
    (many, mean, square), (more, its_mean, its_square) = one, other
    if not many or not more:
        return other if not many else one
    assert mean is not None and its_mean is not None and square is not None and its_square is not None  # noqa: PT018
    total, apart = many + more, its_mean - mean
    return total, mean + apart * more / total, square + its_square + apart * apart * many * more / total


def _either(one: float | None, other: float | None, merge: Callable[[float, float], float]) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return merge(one, other)
