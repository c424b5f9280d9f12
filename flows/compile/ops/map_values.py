"""`map_values`"""

from __future__ import annotations

import polars as pl

from flows.compile.literals import common_type, literals
from flows.compile.scope import Scope
from flows.compile.step import Step
from ir.ops import MapValues


def compile_map_values(op: MapValues, scope: Scope) -> tuple[Step, ...]:
    """The column with other values. Without a default it keeps its type, because unmapped values stay; with one it
    takes the type of the new values."""
    have = scope.column(op.field, "field")
    to = op.to or op.field
    scope.output(to, "to", replaces=op.field)
    value = pl.col(op.field)
    if have == pl.Null or have.is_(pl.Categorical) or isinstance(have, pl.Enum):
        have, value = pl.String(), value.cast(pl.String)
    if have.is_nested() or have == pl.Binary:
        raise scope.fault("field", "wrong_type", f"'{op.field}' is {have}, which has no values to name", "")
    old = literals(scope, op.mapping, have, "mapping")
    if old.is_duplicated().any():
        twice = list(op.mapping)[old.is_duplicated().arg_true()[1]]
        raise scope.fault("mapping", "duplicate_key", f"'{twice}' is mapped twice: it is the same {have} value")
    becomes = common_type([*op.mapping.values(), op.default]) if op.has_default else have
    new = literals(scope, op.mapping.values(), becomes, "mapping")
    default = pl.lit(literals(scope, [op.default], becomes, "default").item(), becomes) if op.has_default else value
    mapped = value.replace_strict(old, new, default=default, return_dtype=becomes)
    column = pl.when(value.is_not_null()).then(mapped).otherwise(pl.lit(None, becomes)).alias(to)
    label = f"map {len(op.mapping)} values of {op.field}" + (f" to {to}" if to != op.field else "")
    return (Step(scope.node, scope.path, label, columns=(column,)),)
