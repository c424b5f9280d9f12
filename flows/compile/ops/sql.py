"""`sql`"""

from __future__ import annotations

from collections.abc import Sequence

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
    try:
        judged = query(op.query)
        made, sql = result_columns(judged, before)
        seen = input_columns(judged, before)
    except Refused as refused:
        raise scope.fault("query", refused.code, refused.message, refused.hint) from None

    def evaluate(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
        return run(judged, sql, frames[0].select(*seen), made)

    origins = dict.fromkeys(made, tuple(scope.visible))
    shuffle = Shuffle(
        (side(scope, (), "query"),), evaluate, origins, made=pl.Schema(made), reads=frozenset(seen) & frozenset(before)
    )
    return (Step(scope.node, scope.path, op.query, shuffle=shuffle),)
