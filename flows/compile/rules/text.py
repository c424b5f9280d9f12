"""`regex`, the named formats, and the rules on length and affixes"""

from __future__ import annotations

from headrace.flows.compile.rules.base import Column, Condition
from headrace.ir.rules import Affix, Length, Matches


def matches(rule: Matches, column: Column) -> Condition:
    """Fails when the text holds no match of the pattern."""
    found = column.text("regex").str.contains(rule.pattern)
    return Condition(~found, rule.message or f"Does not match the pattern {rule.pattern}")


def length(rule: Length, column: Column) -> Condition:
    """Fails when the text has too few or too many characters."""
    characters = column.text("min_length" if rule.maximum is None else "max_length").str.len_chars()
    if rule.minimum is not None:
        return Condition(characters < rule.minimum, f"Must have at least {rule.minimum} characters")
    return Condition(characters > rule.maximum, f"Must have at most {rule.maximum} characters")


def affix(rule: Affix, column: Column) -> Condition:
    """Fails when the text does not start with the prefix, or end with the suffix."""
    if rule.prefix is not None:
        return Condition(~column.text("starts_with").str.starts_with(rule.prefix), f"Must start with {rule.prefix}")
    assert rule.suffix is not None
    return Condition(~column.text("ends_with").str.ends_with(rule.suffix), f"Must end with {rule.suffix}")
