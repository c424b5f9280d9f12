"""`filter`"""

from __future__ import annotations

from flows.compile.scope import Scope
from flows.compile.step import Step
from ir.ops import Filter


def compile_filter(op: Filter, scope: Scope) -> tuple[Step, ...]:
    """The rows for which the condition is true; null counts as not true, as in SQL."""
    keep = scope.condition(op.expression, "expression")
    return (Step(scope.node, scope.path, f"filter {op.expression}", keep=keep),)
