"""Row rules on values: comparisons, membership in a list, presence, existence in another table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from headrace.ir.base import TABLE
from headrace.ir.problems import fault
from headrace.ir.rules.syntax import list_argument, no_arguments, one_argument

Comparator = Literal["gt", "gte", "lt", "lte", "eq", "ne"]


@dataclass(frozen=True, slots=True)
class Compare:
    """The value compares to the literal by `comparator`. The literal is text, to be read as the field's type."""

    comparator: Comparator
    literal: str


@dataclass(frozen=True, slots=True)
class Between:
    """The value is at least `low` and at most `high`."""

    low: str
    high: str


def compare(comparator: Comparator) -> Callable[[str | None], Compare]:
    """Returns the parser of one comparison rule."""
    return lambda args: Compare(comparator, one_argument(comparator, args, "0").strip())


def between(args: str | None) -> Between:
    """`between:low,high`"""
    bounds = list_argument("between", args, "0,100")
    if len(bounds) != 2:
        raise fault("rule_arguments", f"'between' needs two bounds, not {len(bounds)}", "for example 'between:0,100'")
    return Between(*bounds)


@dataclass(frozen=True, slots=True)
class Member:
    """The value is (or, `negated`, is not) one of the literals, each read as the field's type."""

    literals: tuple[str, ...]
    negated: bool


def is_in(args: str | None) -> Member:
    """`in:a,b,c`"""
    return Member(list_argument("in", args, "a,b,c"), negated=False)


def not_in(args: str | None) -> Member:
    """`not_in:a,b,c`"""
    return Member(list_argument("not_in", args, "a,b,c"), negated=True)


@dataclass(frozen=True, slots=True)
class Present:
    """The value is not null; with `empty_counts`, it is not empty or blank text either."""

    empty_counts: bool


def not_null(args: str | None) -> Present:
    """`not_null`"""
    no_arguments("not_null", args)
    return Present(empty_counts=False)


def not_empty(args: str | None) -> Present:
    """`not_empty`"""
    no_arguments("not_empty", args)
    return Present(empty_counts=True)


@dataclass(frozen=True, slots=True)
class Exists:
    """The value occurs in the column `field` of `table` (qualified)."""

    table: str
    field: str


def exists(args: str | None) -> Exists:
    """`exists:<table>.<field>`, for example `ds_customers.id` or `public.ds_customers.id`"""
    text = one_argument("exists", args, "ds_customers.id").strip()
    table, _, field = text.rpartition(".")
    if not field or not TABLE.fullmatch(table):
        raise fault(
            "rule_arguments", f"'{text}' does not name a table's column", "for example 'exists:ds_customers.id'"
        )
    return Exists(table if "." in table else f"public.{table}", field)
