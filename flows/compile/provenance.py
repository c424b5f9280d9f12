"""Provenance: where the columns of a step come from, and which columns decide about its rows, in OpenLineage's terms.

Most steps declare none: `flows.lineage` finds the columns that their expressions read, and takes every output column of
an undeclared `reshape` to come from all columns. A step declares it where that would be wrong or too much: the columns
it groups, joins or sorts by, and the columns that its `reshape` or `shuffle` makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import polars as pl

Direct = Literal["identity", "transformation", "aggregation"]
"""How values get from one column into another, from the weakest to the strongest."""

Indirect = Literal["filter", "join", "group_by", "sort", "window", "conditional"]
"""The use of a column whose values do not get into the output."""


class From(NamedTuple):
    """An input column of the step; `side` is the input of a join."""

    column: str
    side: int = 0


class TableColumn(NamedTuple):
    """A column of a lookup table."""

    table: str
    column: str


Origin = From | TableColumn


@dataclass(frozen=True, slots=True)
class Made:
    """One output column: the columns whose values are in it, `how` they got there, and the columns that only decided
    which value it has."""

    of: tuple[Origin, ...] = ()
    how: Direct = "transformation"
    decided_by: tuple[tuple[Indirect, Origin], ...] = ()


@dataclass(frozen=True, slots=True)
class Provenance:
    """`made` are the output columns of a `shuffle`, or those that a `reshape` makes (it does not change the others).
    `rows` are the columns that decide which rows there are, or which are combined."""

    made: Mapping[str, Made] = field(default_factory=dict)
    rows: Mapping[Indirect, tuple[Origin, ...]] = field(default_factory=dict)

    @property
    def origins(self) -> dict[str, tuple[str, ...]]:
        """The input columns of each output column, for `Shuffle.origins`."""
        return {
            name: tuple(each.column for each in made.of if isinstance(each, From)) for name, made in self.made.items()
        }


def named(columns: Iterable[str]) -> tuple[Origin, ...]:
    """Input columns of the step, as origins."""
    return tuple(From(name) for name in columns)


def kept(columns: Iterable[str]) -> dict[str, Made]:
    """Columns that the step does not change."""
    return {name: Made(named([name]), "identity") for name in columns}


def grouped_by(group_by: Iterable[str], amounts: Mapping[str, Made]) -> Provenance:
    """The provenance of one row per group, with aggregates."""
    keys = tuple(group_by)
    return Provenance(kept(keys) | dict(amounts), {"group_by": named(keys)} if keys else {})


def aggregated(*columns: str | None, decided_by: tuple[tuple[Indirect, Origin], ...] = ()) -> Made:
    """An aggregate of the values of columns; of no column where rows are counted."""
    return Made(named(name for name in columns if name is not None), "aggregation", decided_by)


def of_expression(expression: pl.Expr, conditions: Iterable[str] = ()) -> Made:
    """The provenance of an expression: a column unchanged, or a transformation; columns in `conditions` only decide."""
    roots, deciding = dict.fromkeys(expression.meta.root_names()), set(conditions)
    plain = expression.meta.undo_aliases().meta.is_column()
    return Made(
        named(name for name in roots if name not in deciding),
        "identity" if plain else "transformation",
        tuple(("conditional", From(name)) for name in roots if name in deciding),
    )
