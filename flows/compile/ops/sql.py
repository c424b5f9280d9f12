"""`sql`"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import polars as pl

from headrace.connectors.source import ROW
from headrace.flows.compile.grouping import side
from headrace.flows.compile.scope import Scope
from headrace.flows.compile.shuffle import Shuffle
from headrace.flows.compile.step import Step
from headrace.flows.query import result_columns, run
from headrace.flows.query.result_types import input_columns
from headrace.ir.ops import Sql
from headrace.ir.sql import Refused


def compile_sql(op: Sql, scope: Scope) -> tuple[Step, ...]:
    """Runs the query over all rows, in one bucket."""
    from headrace.ir.sql.queries.query import query  # its parser takes a while to load, and few pipelines have a query

    before = {name: dtype for name, dtype in scope.schema.items() if name != ROW}
    twins = {name: text for name, text in scope.cells.items() if text != name and text in before}
    typed = {name: dtype for name, dtype in before.items() if name not in twins.values()}
    try:
        judged, columns = query(op.query), typed
        if twins and (both := judged.with_values({name.lower(): _value(name) for name in twins})) is not None:
            written = {**typed, **dict.fromkeys(twins, pl.String()), **{_value(name): before[name] for name in twins}}
            with suppress(Refused):  # it needs a value where it could also return the cell, as in GROUP BY … HAVING
                result_columns(both, written)
                judged, columns = both, written
        made, sql = result_columns(judged, columns)
        seen = input_columns(judged, columns)
    except Refused as refused:
        raise scope.fault("query", refused.code, refused.message, refused.hint) from None
    read = {name: name for name in seen}
    if columns is not typed:
        read |= {name: text for name, text in twins.items() if name in seen}
        read |= {_value(name): name for name in twins if _value(name) in seen}

    def evaluate(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
        return run(judged, sql, frames[0].select(pl.col(read[name]).alias(name) for name in seen), made)

    origins = dict.fromkeys(made, tuple(scope.visible))
    gather = Shuffle(
        (side(scope, (), "query"),),
        evaluate,
        origins,
        made=pl.Schema(made),
        reads=frozenset(read.values()) & frozenset(before),
    )
    return (Step(scope.node, scope.path, op.query, shuffle=gather),)


def _value(name: str) -> str:
    """The column of the query that has the values of a column that is text."""
    return f"__value {name}"
