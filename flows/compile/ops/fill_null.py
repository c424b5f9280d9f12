"""`fill_null`"""

from __future__ import annotations

import polars as pl

from flows.compile.literals import common_type, literals
from flows.compile.scope import Scope
from flows.compile.step import Step
from ir.ops import FillNull


def compile_fill_null(op: FillNull, scope: Scope) -> tuple[Step, ...]:
    """The columns, each in its own type, with something in place of nulls."""
    columns = tuple(_filled(op, scope, name, f"fields[{index}]") for index, name in enumerate(op.fields))
    filling = op.source if op.source is not None else repr(op.value)
    label = f"fill {', '.join(op.fields)} with {filling}"
    return (Step(scope.node, scope.path, label, columns=columns),)


def _filled(op: FillNull, scope: Scope, name: str, where: str) -> pl.Expr:
    have = scope.column(name, where)
    value = pl.col(name)
    missing = value.is_null()
    if op.blank:
        missing |= scope.text(name, where).str.strip_chars() == ""
    return pl.when(missing).then(_filling(op, scope, name, have)).otherwise(value).alias(name)


def _filling(op: FillNull, scope: Scope, name: str, have: pl.DataType) -> pl.Expr:
    if op.source is None:
        dtype = common_type([op.value]) if have == pl.Null else have
        if dtype.is_nested() or dtype == pl.Binary:
            raise scope.fault("value", "wrong_type", f"'{name}' is {dtype}, for which no value can be written")
        return pl.lit(literals(scope, [op.value], dtype, "value").item(), dtype)
    other = scope.column(op.source, "from")
    if other != have and pl.Null not in (other, have):
        message = f"'{op.source}' is {other}, but '{name}' is {have}"
        raise scope.fault("from", "wrong_type", message, "cast one of them before")
    return pl.col(op.source)
