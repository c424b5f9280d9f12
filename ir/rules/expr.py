"""`expr`: any SQL condition over the row."""

from __future__ import annotations

from dataclasses import dataclass

from ir.rules.base import one_argument


@dataclass(frozen=True, slots=True)
class Holds:
    """The SQL condition is true (or null) for the row."""

    sql: str


def expr(args: str | None) -> Holds:
    """`expr:<sql>`"""
    return Holds(one_argument("expr", args, "departure < arrival"))
