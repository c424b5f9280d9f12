"""`split`"""

from __future__ import annotations

import polars as pl

from flows.compile.casting import check
from flows.compile.scope import Scope
from flows.compile.step import Step
from ir.ops import Split


def compile_split(op: Split, scope: Scope) -> tuple[Step, ...]:
    """The parts, and the check that a text has as many as there are columns."""
    value = scope.text(op.field, "field")
    for index, name in enumerate(op.into):
        scope.output(name, f"into[{index}]", replaces=op.field)
    given = value.str.strip_chars() != ""
    if op.separator is not None:
        parts = _separated(value, op.separator, len(op.into))
        fails, message = parts[-1].is_null(), f"Expected {len(op.into)} parts separated by '{op.separator}'"
        label = f"split {op.field} at '{op.separator}'"
    else:
        assert op.pattern is not None
        parts = _groups(op, scope, value, op.pattern)
        fails, message = ~value.str.contains(op.pattern), f"Does not match the pattern {op.pattern}"
        label = f"split {op.field} by {op.pattern}"
    on_fail = "quarantine" if op.on_error == "null" else op.on_error
    too_few = check("split", op.field, scope.schema[op.field], given & fails, message, on_fail)
    return (
        Step(
            scope.node,
            scope.path,
            f"{label} into {', '.join(op.into)}",
            checks=() if op.on_error == "null" else (too_few,),
            columns=tuple(pl.when(given).then(part).alias(name) for part, name in zip(parts, op.into, strict=True)),
        ),
    )


def _separated(value: pl.Expr, separator: str, count: int) -> list[pl.Expr]:
    parts = value.str.splitn(separator, count)
    return [parts.struct.field(f"field_{index}") for index in range(count)]


def _groups(op: Split, scope: Scope, value: pl.Expr, pattern: str) -> list[pl.Expr]:
    with scope.checked("pattern"):
        found = pl.select(pl.lit("").str.extract_groups(pattern)).to_series().struct.fields
    if len(found) != len(op.into):
        message = f"The pattern has {len(found)} groups, but 'into' names {len(op.into)} columns"
        raise scope.fault("pattern", "pattern_groups", message, "put each part in parentheses: '^(\\w+)-(\\d+)$'")
    return [value.str.extract(pattern, index + 1) for index in range(len(found))]
