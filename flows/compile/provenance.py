"""What a step says of where its columns come from, and of what decides about its rows, in OpenLineage's words.

Most steps say nothing: `flows.lineage` reads off their expressions which columns they use, and takes a `reshape` that
nobody explains to make every column of all columns. A step says more where that would be wrong or too much: which
columns it groups, joins or sorts by, and what its `reshape` or its `gather` makes of which columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import polars as pl

Direct = Literal["identity", "transformation", "aggregation"]
"""How values get from one column into another, the stronger behind the weaker."""

Indirect = Literal["filter", "join", "group_by", "sort", "window", "conditional"]
"""What a column is used for whose values do not get there themselves."""


class From(NamedTuple):
    """A column before the step; `side` tells the inputs of a join apart."""

    column: str
    side: int = 0


class TableColumn(NamedTuple):
    """A column of a table that rows are looked up in."""

    table: str
    column: str


Origin = From | TableColumn


@dataclass(frozen=True, slots=True)
class Made:
    """One column behind a step: the columns whose values are in it, `how` they got there, and those that only decided
    which value it has."""

    of: tuple[Origin, ...] = ()
    how: Direct = "transformation"
    decided_by: tuple[tuple[Indirect, Origin], ...] = ()


@dataclass(frozen=True, slots=True)
class Provenance:
    """`made` are the columns behind a `gather`, or those that a `reshape` makes: it leaves the others as they are.
    `rows` are the columns that decide which rows there are, or how they come together."""

    made: Mapping[str, Made] = field(default_factory=dict)
    rows: Mapping[Indirect, tuple[Origin, ...]] = field(default_factory=dict)

    @property
    def origins(self) -> dict[str, tuple[str, ...]]:
        """The incoming columns of each column, as a `Gather` wants them."""
        return {
            name: tuple(each.column for each in made.of if isinstance(each, From)) for name, made in self.made.items()
        }


def named(columns: Iterable[str]) -> tuple[Origin, ...]:
    """The columns before the step."""
    return tuple(From(name) for name in columns)


def kept(columns: Iterable[str]) -> dict[str, Made]:
    """Columns that are behind the step what they were before it."""
    return {name: Made(named([name]), "identity") for name in columns}


def grouped_by(group_by: Iterable[str], amounts: Mapping[str, Made]) -> Provenance:
    """A row for each group, with what its rows amount to."""
    keys = tuple(group_by)
    return Provenance(kept(keys) | dict(amounts), {"group_by": named(keys)} if keys else {})


def aggregated(*columns: str | None, decided_by: tuple[tuple[Indirect, Origin], ...] = ()) -> Made:
    """What the values of columns amount to; of no column where rows are counted."""
    return Made(named(name for name in columns if name is not None), "aggregation", decided_by)


def of_expression(expression: pl.Expr, conditions: Iterable[str] = ()) -> Made:
    """What an expression reads: a column as it is, or something made of several; `conditions` only decide."""
    roots, deciding = dict.fromkeys(expression.meta.root_names()), set(conditions)
    plain = expression.meta.undo_aliases().meta.is_column()
    return Made(
        named(name for name in roots if name not in deciding),
        "identity" if plain else "transformation",
        tuple(("conditional", From(name)) for name in roots if name in deciding),
    )
