"""`in`, `not_in`"""

from __future__ import annotations

from flows.compile.rules.base import Column, Condition
from ir.rules import Member


def member(rule: Member, column: Column) -> Condition:
    """Fails when the value is not in the list, or is when negated."""
    inside = column.value.is_in(column.literals(rule.literals))
    shown = ", ".join(rule.literals[:10]) + (", ..." if len(rule.literals) > 10 else "")
    if rule.negated:
        return Condition(inside, f"Must not be one of {shown}")
    return Condition(~inside, f"Must be one of {shown}")
