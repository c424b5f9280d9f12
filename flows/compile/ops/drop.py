"""`drop`"""

from __future__ import annotations

from flows.compile.scope import Scope
from flows.compile.step import Step
from ir.ops import Drop


def compile_drop(op: Drop, scope: Scope) -> tuple[Step, ...]:
    """The frame without the columns."""
    for index, name in enumerate(op.fields):
        scope.column(name, f"fields[{index}]")
    label = f"drop {', '.join(op.fields)}"
    return (Step(scope.node, scope.path, label, reshape=lambda frame: frame.drop(op.fields), origins={}),)
