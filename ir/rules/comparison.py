"""`gt gte lt lte eq ne between`: compare with a literal of the field's own type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ir.problems import fault
from ir.rules.base import list_argument, one_argument

Comparator = Literal["gt", "gte", "lt", "lte", "eq", "ne"]


@dataclass(frozen=True, slots=True)
class Compare:
    """The value stands in this relation to the literal, which is still text: the field's type says how to read it."""

    comparator: Comparator
    literal: str


@dataclass(frozen=True, slots=True)
class Between:
    """The value is at least `low` and at most `high`."""

    low: str
    high: str


def compare(comparator: Comparator) -> Callable[[str | None], Compare]:
    """The parser of one comparison rule."""
    return lambda args: Compare(comparator, one_argument(comparator, args, "0").strip())


def between(args: str | None) -> Between:
    """`between:low,high`"""
    bounds = list_argument("between", args, "0,100")
    if len(bounds) != 2:
        raise fault("rule_arguments", f"'between' needs two bounds, not {len(bounds)}", "for example 'between:0,100'")
    return Between(*bounds)
