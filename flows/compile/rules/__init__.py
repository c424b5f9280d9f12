"""What each row rule checks: one module a family, one line here. How a rule is written stands in `ir.rules`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flows.compile.casting import check
from flows.compile.rules.base import Column, Condition
from flows.compile.rules.comparison import between, compare
from flows.compile.rules.date import is_date
from flows.compile.rules.exists import exists
from flows.compile.rules.expr import holds
from flows.compile.rules.kind import of_type
from flows.compile.rules.membership import member
from flows.compile.rules.presence import present
from flows.compile.rules.text import affix, length, matches
from flows.compile.rules.unique import unique
from flows.compile.scope import Scope
from flows.compile.step import Check
from ir.nodes.validate import RowRule
from ir.rules import (
    Affix,
    Between,
    Compare,
    Exists,
    Holds,
    IsDate,
    Length,
    Matches,
    Member,
    OfType,
    Present,
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
    Holds: holds,
}
"""Conditions by the class a rule parses to; each raises PlanError for what does not fit the column."""


def compile_rule(rule: RowRule, scope: Scope) -> Check:
    """The check of one row rule; raises PlanError."""
    dtype = scope.column(rule.field, "field")
    parsed = rule.parsed
    condition = CONDITIONS[type(parsed)](parsed, Column(rule.field, dtype, scope))
    with scope.checked("rule"):
        scope.evaluate(condition.fails)
    fails, message = condition.fails, condition.message
    return check(rule.id, rule.field, dtype, fails, message, rule.on_fail, reads=condition.reads)
