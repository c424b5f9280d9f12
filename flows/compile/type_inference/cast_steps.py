"""Steps that read undeclared text cells as values of a type, and restore the text afterwards."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import polars as pl

from headrace.flows.compile.casting import readable
from headrace.flows.compile.scope import Scope
from headrace.flows.compile.step import Step
from headrace.flows.compile.type_inference.column_uses import Uses
from headrace.flows.compile.type_inference.infer import View
from headrace.ir.ops import Aggregate, AnyOp, Pivot, Sql, Summarize
from headrace.ir.schema import Field


def looked_at(uses: Uses, views: Mapping[str, View]) -> dict[str, Field]:
    """The columns that are needed in a type → that type."""
    found: dict[str, Field] = {}
    for name, view in views.items():
        wanted = view.value if name in uses.looked_at else view.key if name in uses.key - uses.text else None
        if wanted is not None:
            found[name] = wanted
    return found


def cast_step(scope: Scope, wanted: Mapping[str, Field], *, keep: bool, evaluates: bool = True) -> Step:
    """Reads the columns. `evaluates`: a value that is not of its type makes an error row; otherwise it is null. `keep`:
    the text is saved for `restore_step`."""
    checks, columns = [], []
    for name, field in wanted.items():
        check, read = readable("type", name, pl.String(), Field(name, field.data_type, field.precision, field.scale))
        checks += [check] if evaluates else []
        columns += [pl.col(name).alias(_raw(name)), read.alias(name)] if keep else [read.alias(name)]
    casts = ", ".join(f"{name} as {field.data_type}" for name, field in wanted.items())
    same = frozenset(wanted)
    return Step(scope.node, scope.path, f"read {casts}", checks=tuple(checks), columns=tuple(columns), same=same)


def restore_step(scope: Scope, wanted: Mapping[str, Field], still: frozenset[str]) -> Step:
    """Restores the text of the columns that are `still` unchanged, and drops what `cast_step` saved."""
    columns = tuple(pl.col(_raw(name)).alias(name) for name in wanted if name in still)
    saved = [_raw(name) for name in wanted]
    label = f"{', '.join(wanted)} as written"
    return Step(scope.node, scope.path, label, columns=columns, reshape=lambda frame: frame.drop(saved), origins={})


def cells_in(schema: Collection[str], views: Mapping[str, View]) -> dict[str, str]:
    """The columns that hold cells → the column that has their text: another one after a `cast_step`."""
    return {name: _raw(name) if _raw(name) in schema else name for name in views}


def texts_kept(op: AnyOp) -> bool:
    """Whether an op that makes other rows returns cells that it has compared as values."""
    match op:
        case Aggregate():
            return any(each.fn in ("min", "max") for each in op.aggregations)
        case Pivot():
            return op.fn in ("min", "max")
    return isinstance(op, Sql | Summarize)


def _raw(name: str) -> str:
    return f"__raw {name}"
