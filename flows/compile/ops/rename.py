"""`rename`"""

from __future__ import annotations

from flows.compile.scope import Scope
from flows.compile.step import Step
from ir.ops import Rename


def compile_rename(op: Rename, scope: Scope) -> tuple[Step, ...]:
    """The same values under another name."""
    scope.column(op.source, "from")
    scope.new_column(op.to, "to")
    names = {op.source: op.to}
    label = f"rename {op.source} to {op.to}"
    origins = {op.to: op.source}
    return (Step(scope.node, scope.path, label, reshape=lambda frame: frame.rename(names), origins=origins),)
