"""`trim`"""

from __future__ import annotations

import polars as pl

from flows.compile.scope import Scope
from flows.compile.step import Step
from ir.ops import Trim


def compile_trim(op: Trim, scope: Scope) -> tuple[Step, ...]:
    """The texts without what stood at their ends."""
    columns = tuple(
        _trimmed(op, scope.text(name, f"fields[{index}]")).alias(name) for index, name in enumerate(op.fields)
    )
    return (Step(scope.node, scope.path, f"trim {', '.join(op.fields)}", columns=columns),)


def _trimmed(op: Trim, value: pl.Expr) -> pl.Expr:
    match op.side:
        case "start":
            return value.str.strip_chars_start(op.characters)
        case "end":
            return value.str.strip_chars_end(op.characters)
    return value.str.strip_chars(op.characters)
