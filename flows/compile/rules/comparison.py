"""`gt gte lt lte eq ne between`"""

from __future__ import annotations

from flows.compile.rules.base import Column, Condition
from ir.rules import Between, Compare

_WORDS = {
    "gt": "greater than",
    "gte": "at least",
    "lt": "less than",
    "lte": "at most",
    "eq": "equal to",
    "ne": "different from",
}


def compare(rule: Compare, column: Column) -> Condition:
    """Fails when the comparison is false."""
    value, literal = column.value, column.literal(rule.literal)
    holds = {
        "gt": value > literal,
        "gte": value >= literal,
        "lt": value < literal,
        "lte": value <= literal,
        "eq": value == literal,
        "ne": value != literal,
    }
    return Condition(~holds[rule.comparator], f"Must be {_WORDS[rule.comparator]} {rule.literal}")


def between(rule: Between, column: Column) -> Condition:
    """Fails outside the bounds; both bounds are inside."""
    inside = column.value.is_between(column.literal(rule.low), column.literal(rule.high))
    return Condition(~inside, f"Must be between {rule.low} and {rule.high}")
