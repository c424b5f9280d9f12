"""The conditions of row rules, one line each in CONDITIONS. How rules are written is in `ir.rules`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.flows.compile.casting import check
from headrace.flows.compile.rules.base import Column, Condition
from headrace.flows.compile.rules.expression import holds
from headrace.flows.compile.rules.text import affix, length, matches
from headrace.flows.compile.rules.types import is_date, of_type
from headrace.flows.compile.rules.unique import unique
from headrace.flows.compile.rules.values import between, compare, exists, member, present
from headrace.flows.compile.scope import Scope
from headrace.flows.compile.step import Check
from headrace.ir.nodes.validate import RowRule
from headrace.ir.rules import (
    Affix,
    Between,
    Compare,
    Exists,
    IsDate,
    Length,
    Matches,
    Member,
    OfType,
    Present,
    SqlCondition,
    Unique,
)

CONDITIONS: dict[type, Callable[[Any, Column], Condition]] = {
    Present: present,
    Unique: unique,
    Compare: compare,
    Between: between,
    Member: member,
    Matches: matches,
    Length: length,
    Affix: affix,
    OfType: of_type,
    IsDate: is_date,
    Exists: exists,
    SqlCondition: holds,
}
"""Conditions by the class of the parsed rule. Each raises PlanError when it does not fit the column."""


def compile_rule(rule: RowRule, scope: Scope) -> Check:
    """Compiles a row rule into a check. Raises PlanError."""
    dtype = scope.column(rule.field, "field")
    parsed = rule.parsed
    condition = CONDITIONS[type(parsed)](parsed, Column(rule.field, dtype, scope))
    if not condition.typed:
        with scope.checked("rule"):
            scope.evaluate(condition.fails)
    fails, message = condition.fails, condition.message
    return check(rule.id, rule.field, dtype, fails, message, rule.on_fail, reads=condition.reads)
