"""`type`"""

from __future__ import annotations

from flows.compile.casting import ImpossibleCast, expected, readable
from flows.compile.rules.base import Column, Condition
from ir.rules import OfType
from ir.schema import Field


def of_type(rule: OfType, column: Column) -> Condition:
    """Fails when the value cannot be read as the type; the column itself stays as it is."""
    to = Field(column.name, rule.data_type)
    try:
        check, _ = readable("type", column.name, column.dtype, to)
    except ImpossibleCast as error:
        raise column.scope.fault("rule", "impossible_cast", f"'{column.name}': {error}") from None
    return Condition(check.fails, expected(to))
