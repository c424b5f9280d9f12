"""`cast`"""

from __future__ import annotations

from flows.compile.casting import ImpossibleCast, readable
from flows.compile.scope import Scope
from flows.compile.step import Step
from ir.ops import Cast
from ir.schema import Field


def compile_cast(op: Cast, scope: Scope) -> tuple[Step, ...]:
    """The column in its new type; what happens to a value that cannot be read is `onError`."""
    have = scope.column(op.field, "field")
    to = Field(op.field, op.to, op.precision, op.scale, op.format)
    on_fail = "quarantine" if op.on_error == "null" else op.on_error
    try:
        check, read = readable("cast", op.field, have, to, on_fail)
    except ImpossibleCast as error:
        raise scope.fault("to", "impossible_cast", f"'{op.field}': {error}", "cast to text first, or drop it") from None
    checks = () if op.on_error == "null" else (check,)
    step = Step(scope.node, scope.path, f"cast {op.field} to {op.to}", checks=checks, columns=(read.alias(op.field),))
    return (step,)
