"""`add_field`"""

from __future__ import annotations

import polars as pl

from connectors.types import polars_dtype
from flows.compile.casting import ImpossibleCast, read_as, readable
from flows.compile.scope import Scope
from flows.compile.step import Step
from ir.ops import AddField
from ir.schema import Field


def compile_add_field(op: AddField, scope: Scope) -> tuple[Step, ...]:
    """The new column; a constant that is not of `dataType` is a fault, a computed value that is not is an error row."""
    scope.new_column(op.field, "field")
    try:
        return _constant(op, scope) if op.expression is None else _computed(op, scope, op.expression)
    except ImpossibleCast as error:
        raise scope.fault("dataType", "impossible_cast", f"'{op.field}': {error}") from None


def _constant(op: AddField, scope: Scope) -> tuple[Step, ...]:
    constant = pl.Series(op.field, [op.value])
    if op.data_type is not None:
        read = read_as(pl.col(op.field), constant.dtype, Field(op.field, op.data_type))
        constant = constant.to_frame().select(read).to_series()
        if op.value is not None and constant.null_count():
            raise scope.fault("value", "invalid_value", f"{op.value!r} is not of type {op.data_type}")
    literal = pl.lit(constant.item(), dtype=constant.dtype).alias(op.field)
    return (Step(scope.node, scope.path, f"{op.field} = {op.value!r}", columns=(literal,)),)


def _computed(op: AddField, scope: Scope, expression: str) -> tuple[Step, ...]:
    value = scope.expression(expression, "expression")
    compute = Step(scope.node, scope.path, f"{op.field} = {expression}", columns=(value.alias(op.field),))
    if op.data_type is None or scope.evaluate(value) == polars_dtype(Field(op.field, op.data_type)):
        return (compute,)
    check, read = readable("cast", op.field, scope.evaluate(value), Field(op.field, op.data_type))
    label = f"cast {op.field} to {op.data_type}"
    return compute, Step(scope.node, scope.path, label, checks=(check,), columns=(read.alias(op.field),))
