"""The statement that reads a partition, or what is left of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headrace.connectors.source import Bound
from headrace.connectors.sql.ranges import KeyRange
from headrace.connectors.sql.relation import ALIAS, Column, Relation, Scalar

if TYPE_CHECKING:
    from headrace.connectors.sql.dialect import Dialect


@dataclass(frozen=True, slots=True)
class Asked:
    """A column to read: the server's column, and the wanted field."""

    column: Column
    as_declared: bool = False
    """Whether the wanted type differs from the server's, so that values are read as text."""
    sure: bool = True
    """Whether every value can be read."""


@dataclass(frozen=True, slots=True)
class Select:
    """Rows of a relation. All conditions hold together.

    `order` are the columns by which the rows come; `after` are values of them, after which reading begins. `cursor` is
    read up to `upto`, that included, from `since` on, and not where it is null. `own` is a range of the dialect's.
    """

    relation: Relation
    asked: Sequence[Asked]
    order: Sequence[Column] = ()
    after: Sequence[Scalar] | None = None
    split: Column | None = None
    range: KeyRange = field(default_factory=KeyRange)
    cursor: Column | None = None
    since: Scalar = None
    upto: Scalar = None
    own: Any = None
    bounds: Sequence[Bound] = ()
    limit: int | None = None


def rendered(select: Select, dialect: Dialect) -> str:
    """The statement in a dialect's SQL."""
    asked = ", ".join(f"{dialect.expression(each)} AS {dialect.quote(each.column.name)}" for each in select.asked)
    return f"SELECT {asked or '1'}{tail(select, dialect)}"


def tail(select: Select, dialect: Dialect) -> str:
    """The SQL after the columns: FROM and what follows."""
    text = f" FROM {select.relation.sql}"
    conditions = list(_conditions(select, dialect))
    if conditions:
        text += " WHERE " + " AND ".join(conditions)
    if select.order:
        text += " ORDER BY " + ", ".join(f"{ALIAS}.{dialect.quote(column.name)}" for column in select.order)
    if select.limit is not None:
        text += f" LIMIT {select.limit:d}"
    return text


def _conditions(select: Select, dialect: Dialect) -> Iterator[str]:
    if select.split is not None:
        yield from _within(select.split, select.range, dialect)
    if select.own is not None:
        yield dialect.within(select.own)
    if select.cursor is not None:
        name = dialect.quote(select.cursor.name)
        if select.cursor.nullable:
            yield f"{name} IS NOT NULL"
        if select.since is not None and select.after is None:
            yield f"{name} >= {dialect.literal(select.cursor, select.since)}"
        if select.upto is not None:
            yield f"{name} <= {dialect.literal(select.cursor, select.upto)}"
    if select.after is not None:
        yield _rows_after(select.order, select.after, dialect)
    yield from _pushed(select, dialect)


def _pushed(select: Select, dialect: Dialect) -> Iterator[str]:
    """The bounds, or rows that cannot be read: those are reported."""
    columns = {column.name: column for column in select.relation.columns}
    unreadable = [dialect.unreadable(each.column) for each in select.asked if not each.sure and not each.as_declared]
    if None in unreadable or any(each.as_declared and not each.sure for each in select.asked):
        return
    pushed = [dialect.bound(columns[bound.column], bound) for bound in select.bounds if bound.column in columns]
    said = " AND ".join(each for each in pushed if each is not None)
    if said and unreadable:
        yield " OR ".join([f"(({said})", *(str(each) for each in unreadable)]) + ")"
    elif said:
        yield said


def _within(column: Column, part: KeyRange, dialect: Dialect) -> Iterator[str]:
    """The condition of a range. The ranges of a column are disjoint and together contain all rows; nulls are in one of
    them."""
    name = dialect.quote(column.name)
    said = []
    if part.low is not None:
        said.append(f"{name} >= {dialect.literal(column, part.low)}")
    if part.high is not None:
        said.append(f"{name} < {dialect.literal(column, part.high)}")
    if said and part.nulls and column.nullable:
        yield f"(({' AND '.join(said)}) OR {name} IS NULL)"
    elif said:
        yield " AND ".join(said)
    elif not part.nulls and column.nullable:
        yield f"{name} IS NOT NULL"


def _rows_after(order: Sequence[Column], after: Sequence[Scalar], dialect: Dialect) -> str:
    """`(a, b) > (1, 2)`, expanded if the system does not use an index for row comparisons."""
    names = [dialect.quote(column.name) for column in order]
    values = [dialect.literal(column, value) for column, value in zip(order, after, strict=True)]
    if len(names) == 1:
        return f"{names[0]} > {values[0]}"
    if dialect.compares_rows:
        return f"({', '.join(names)}) > ({', '.join(values)})"
    said = [
        " AND ".join(
            [*(f"{n} = {v}" for n, v in zip(names[:at], values[:at], strict=True)), f"{names[at]} > {values[at]}"]
        )
        for at in range(len(names))
    ]
    return f"({names[0]} >= {values[0]} AND (" + " OR ".join(f"({each})" for each in said) + "))"
