"""`merge`"""

from __future__ import annotations

import polars as pl

from flows.compile.casting import as_text
from flows.compile.scope import Scope
from flows.compile.step import Step
from ir.ops import Merge


def compile_merge(op: Merge, scope: Scope) -> tuple[Step, ...]:
    """One text of several columns."""
    texts = [as_text(name, scope.column(name, f"fields[{index}]")) for index, name in enumerate(op.fields)]
    if op.to not in op.fields:
        scope.new_column(op.to, "to")
    some = pl.any_horizontal(pl.col(name).is_not_null() for name in op.fields)
    merged = pl.concat_str(texts, separator=op.separator, ignore_nulls=True)
    column = pl.when(some).then(merged).alias(op.to)
    label = f"{op.to} = {', '.join(op.fields)} joined by '{op.separator}'"
    return (Step(scope.node, scope.path, label, columns=(column,)),)
