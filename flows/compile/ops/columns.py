"""Ops that add, change or remove columns: `add_field`, `drop`, `rename`, `cast`, `expression`, `merge`."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from headrace.connectors.datatypes import polars_dtype
from headrace.flows.compile.casting import ImpossibleCast, as_text, read_as, readable
from headrace.flows.compile.scope import Scope
from headrace.flows.compile.step import Step
from headrace.ir.ops import AddField, Cast, Drop, Expression, Merge, Rename
from headrace.ir.schema import Field


def compile_add_field(op: AddField, scope: Scope) -> tuple[Step, ...]:
    """Adds the column. A constant that is not of `dataType` raises PlanError, a computed value makes an error row."""
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
    value, dtype = scope.expression(expression, "expression", passes=op.data_type is None)
    label, types = f"{op.field} = {expression}", {op.field: dtype}
    compute = Step(scope.node, scope.path, label, columns=(value.alias(op.field),), types=types)
    if op.data_type is None or dtype == polars_dtype(Field(op.field, op.data_type)):
        return (compute,)
    check, read = readable("cast", op.field, dtype, Field(op.field, op.data_type))
    label = f"cast {op.field} to {op.data_type}"
    return compute, Step(scope.node, scope.path, label, checks=(check,), columns=(read.alias(op.field),))


def compile_drop(op: Drop, scope: Scope) -> tuple[Step, ...]:
    """Removes columns."""
    for index, name in enumerate(op.fields):
        scope.column(name, f"fields[{index}]")
    label = f"drop {', '.join(op.fields)}"
    return (Step(scope.node, scope.path, label, reshape=lambda frame: frame.drop(op.fields), origins={}),)


def compile_rename(op: Rename, scope: Scope) -> tuple[Step, ...]:
    """Renames the column."""
    scope.column(op.source, "from")
    scope.new_column(op.to, "to")
    names = {op.source: op.to}
    label = f"rename {op.source} to {op.to}"
    origins = {op.to: op.source}
    renamed = Step(scope.node, scope.path, label, reshape=lambda frame: frame.rename(names), origins=origins)
    return (replace(renamed, same=frozenset([op.to])),)


def compile_cast(op: Cast, scope: Scope) -> tuple[Step, ...]:
    """Reads the column as its new type; `onError` decides about values that cannot be read."""
    have = scope.column(op.field, "field")
    to = Field(op.field, op.to, op.precision, op.scale, op.format)
    on_fail = "quarantine" if op.on_error == "null" else op.on_error
    try:
        check, read = readable("cast", op.field, have, to, on_fail)
    except ImpossibleCast as error:
        raise scope.fault("to", "impossible_cast", f"'{op.field}': {error}", "cast to text first, or drop it") from None
    checks = () if op.on_error == "null" else (check,)
    label, columns = f"cast {op.field} to {op.to}", (read.alias(op.field),)
    return (Step(scope.node, scope.path, label, checks=checks, columns=columns, same=frozenset([op.field])),)


def compile_expression(op: Expression, scope: Scope) -> tuple[Step, ...]:
    """Computes the column from the row."""
    value, dtype = scope.expression(op.expression, "expression", passes=True)
    label = f"{op.field} = {op.expression}"
    return (Step(scope.node, scope.path, label, columns=(value.alias(op.field),), types={op.field: dtype}),)


def compile_merge(op: Merge, scope: Scope) -> tuple[Step, ...]:
    """Joins several columns into one text."""
    texts = [as_text(name, scope.column(name, f"fields[{index}]")) for index, name in enumerate(op.fields)]
    if op.to not in op.fields:
        scope.new_column(op.to, "to")
    some = pl.any_horizontal(pl.col(name).is_not_null() for name in op.fields)
    merged = pl.concat_str(texts, separator=op.separator, ignore_nulls=True)
    column = pl.when(some).then(merged).alias(op.to)
    label = f"{op.to} = {', '.join(op.fields)} joined by '{op.separator}'"
    return (Step(scope.node, scope.path, label, columns=(column,)),)
