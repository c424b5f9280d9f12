"""The row rule `expr`: a SQL condition over the row."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.ir.rules.syntax import one_argument


@dataclass(frozen=True, slots=True)
class SqlCondition:
    """The SQL condition is true (or null) for the row."""

    sql: str


def expr(args: str | None) -> SqlCondition:
    """`expr:<sql>`"""
    return SqlCondition(one_argument("expr", args, "departure < arrival"))
