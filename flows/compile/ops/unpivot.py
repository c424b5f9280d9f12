"""`unpivot`"""

from __future__ import annotations

import polars as pl

from connectors.base import ROW
from flows.compile.casting import as_text
from flows.compile.provenance import Made, Provenance, named
from flows.compile.scope import Scope
from flows.compile.step import Step
from ir.ops import Unpivot

_PAIR = "__pair"
_TURN = "__turn"


def compile_unpivot(op: Unpivot, scope: Scope) -> tuple[Step, ...]:
    """Each row as many times as there are fields. The copies of row n are numbered (n - 1) · fields + 1 and on, so that
    numbers stay apart however rows are cut into batches."""
    have = [scope.column(name, f"fields[{index}]") for index, name in enumerate(op.fields)]
    for name, where in ((op.name_to, "nameTo"), (op.value_to, "valueTo")):
        if name not in op.fields:
            scope.new_column(name, where)
    if op.name_to == op.value_to:
        raise scope.fault("valueTo", "column_exists", "'nameTo' and 'valueTo' are the same", "choose another name")
    alike = len({str(dtype) for dtype in have}) == 1
    pairs = [
        pl.struct(
            pl.lit(name).alias(op.name_to),
            (pl.col(name) if alike else as_text(name, dtype)).alias(op.value_to),
            pl.lit(turn, pl.Int64).alias(_TURN),
        )
        for turn, (name, dtype) in enumerate(zip(op.fields, have, strict=True))
    ]
    number = (pl.col(ROW) - 1) * len(op.fields) + pl.col(_TURN) + 1

    def reshape(frame: pl.LazyFrame) -> pl.LazyFrame:
        several = frame.with_columns(pl.concat_list(pairs).alias(_PAIR)).drop(op.fields).explode(_PAIR).unnest(_PAIR)
        return several.with_columns(number.alias(ROW)).drop(_TURN)

    label = f"{', '.join(op.fields)} as rows of {op.name_to}, {op.value_to}"
    value = Made(named(op.fields), "identity" if alike else "transformation")
    provenance = Provenance({op.name_to: Made(), op.value_to: value})
    return (Step(scope.node, scope.path, label, reshape=reshape, copies=len(op.fields), provenance=provenance),)
