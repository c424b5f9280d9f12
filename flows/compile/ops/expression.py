"""`expression`"""

from __future__ import annotations

from flows.compile.scope import Scope
from flows.compile.step import Step
from ir.ops import Expression


def compile_expression(op: Expression, scope: Scope) -> tuple[Step, ...]:
    """The column computed from the row."""
    value = scope.expression(op.expression, "expression").alias(op.field)
    return (Step(scope.node, scope.path, f"{op.field} = {op.expression}", columns=(value,)),)
