"""Equality of columns and numbers in a query, where the engine would read text as a number: '1.14' as 1.1, for one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlglot import exp

from headrace.ir.sql.queries.lineage import Lineage
from headrace.ir.sql.queries.operands import is_bare
from headrace.ir.sql.queries.relations import Column, Kind

_EQUAL = (exp.EQ, exp.NEQ, exp.NullSafeEQ, exp.NullSafeNEQ)


@dataclass(frozen=True, slots=True)
class Equality:
    """Two sides that are compared: the columns of the input that each is, in lower case. A number has none."""

    one: frozenset[str]
    other: frozenset[str]
    sql: str


def equalities(tree: exp.Query, columns: Sequence[str]) -> Iterator[Equality]:
    """The equalities of a checked query whose sides are columns or numbers. `columns` are those of its input."""
    copied = tree.copy()
    found = Lineage(copied, columns, columns)
    for node in copied.find_all(*_EQUAL, exp.In):
        others = node.expressions if isinstance(node, exp.In) else [node.expression]
        for other in others:
            one, two = _side(node.this, found), _side(other, found)
            if one is not None and two is not None and (one or two):
                yield Equality(one, two, node.sql(dialect="duckdb", comments=False))


def _side(node: exp.Expr, lineage: Lineage) -> frozenset[str] | None:
    while isinstance(node, exp.Paren):
        node = node.this
    number = node.this if isinstance(node, exp.Neg) else node
    if isinstance(number, exp.Literal):
        return None if number.is_string else frozenset()
    if not is_bare(node):
        return None
    column = lineage.column_of(node)
    return column.cells or None if _is_whole(column) else None


def _is_whole(column: Column) -> bool:
    """Whether it has nothing but what is in columns of the input."""
    if column.kind is Kind.INPUT:
        return bool(column.name)
    return column.kind is not Kind.MADE and not column.mixed and all(map(_is_whole, column.parts))
