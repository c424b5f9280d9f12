"""`sql`"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from polars.exceptions import PolarsError

from connectors.base import ROW
from flows.compile.gather import Gather
from flows.compile.grouping import side
from flows.compile.query import refusal
from flows.compile.scope import Scope, first_line
from flows.compile.step import Step
from ir.ops import Sql


def compile_sql(op: Sql, scope: Scope) -> tuple[Step, ...]:
    """The query over one bucket with all rows."""
    if reason := refusal(op.query):
        raise scope.fault("query", "query_refused", reason, "one SELECT over the table 'input'")
    ordered = "order by" in " ".join(op.query.lower().split())

    def evaluate(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
        made = pl.SQLContext(input=frames[0].drop(ROW), register_globals=False).execute(op.query, eager=False)
        names = made.collect_schema().names()
        return made if ordered else made.sort(names, nulls_last=True)

    with scope.checked("query"):
        try:
            names = evaluate([pl.LazyFrame(schema=scope.schema)]).collect().columns
        except PolarsError as error:
            if "unable to find column" in str(error):
                raise
            raise scope.fault("query", "invalid_query", first_line(error)) from None
    for name in names:
        if name.startswith("__"):
            raise scope.fault("query", "invalid_column", f"'{name}' cannot name a column", "give it another alias")
    origins = dict.fromkeys(names, tuple(scope.visible))
    return (Step(scope.node, scope.path, op.query, gather=Gather((side(scope, (), "query"),), evaluate, origins)),)
