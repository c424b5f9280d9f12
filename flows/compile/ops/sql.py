"""`sql`"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import polars as pl

from headrace.connectors.source import ROW
from headrace.flows.compile.grouping import side
from headrace.flows.compile.scope import Scope
from headrace.flows.compile.shuffle import Shuffle
from headrace.flows.compile.step import Step
from headrace.flows.query import result_columns, run
from headrace.flows.query.cell_pairs import pair, pair_type
from headrace.flows.query.result_types import input_columns
from headrace.ir.ops import Sql
from headrace.ir.sql import Refused
from headrace.ir.sql.errors import undecided

if TYPE_CHECKING:
    from headrace.ir.sql.queries.query import Query


def compile_sql(op: Sql, scope: Scope) -> tuple[Step, ...]:
    """Runs the query over all rows, in one bucket."""
    from headrace.ir.sql.queries.query import query  # its parser takes a while to load, and few pipelines have a query

    before = {name: dtype for name, dtype in scope.schema.items() if name != ROW}
    twins = {name: text for name, text in scope.cells.items() if text != name and text in before}
    typed = {name: dtype for name, dtype in before.items() if name not in twins.values()}
    try:
        evaluated = query(op.query)
        _check_equalities(evaluated, typed)
        evaluated, columns = with_cells(evaluated, typed, [*twins], [*scope.cells]) if twins else (evaluated, typed)
        made, sql = result_columns(evaluated, columns)
        seen = input_columns(evaluated, columns)
    except Refused as refused:
        raise scope.fault("query", refused.code, refused.message, refused.hint) from None

    def read(name: str) -> pl.Expr:
        return pl.col(name) if columns[name] == typed[name] else pair(pl.col(name), pl.col(twins[name]))

    def evaluate(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
        return run(evaluated, sql, frames[0].select(read(name).alias(name) for name in seen), made)

    needed = {*seen, *(twins[name] for name in seen if columns[name] != typed[name])}
    origins = dict.fromkeys(made, tuple(scope.visible))
    gather = Shuffle(
        (side(scope, (), "query"),),
        evaluate,
        origins,
        made=pl.Schema(made),
        reads=frozenset(needed) & frozenset(before),
    )
    return (Step(scope.node, scope.path, op.query, shuffle=gather),)


def with_cells(
    given: Query, typed: Mapping[str, pl.DataType], valued: Sequence[str], cells: Sequence[str]
) -> tuple[Query, dict[str, pl.DataType]]:
    """The query rewritten to return the columns `cells` as they are written, and the types of its columns. `valued` are
    those of which there are values: `typed` has the types of these. Raises Refused."""
    try:
        names, fault = [*result_columns(given, typed)[0]], None
    except Refused as refused:  # perhaps of text that stands next to values, which the rewritten query can do
        names, fault = [], refused
    try:
        rewritten, paired = given.as_written(cells, valued, [*typed], names)
        columns = {name: pair_type(dtype) if name.lower() in paired else dtype for name, dtype in typed.items()}
        result_columns(rewritten, columns)
    except Refused as refused:
        if fault is not None or refused.code == "undecided_cells":
            raise fault or refused from None
        raise undecided(refused.message, sorted(valued)) from None
    return rewritten, columns


def _check_equalities(evaluated: Query, typed: Mapping[str, pl.DataType]) -> None:
    """Raises Refused where text is compared with something else by = or IN: the engine would read '1.14' as 1.1 to
    compare it with 1.1. (It refuses < and > itself.)"""
    texts = {name.lower() for name, dtype in typed.items() if dtype in (pl.String, pl.Categorical, pl.Enum)}
    others = {name.lower() for name, dtype in typed.items()} - texts
    others -= {name.lower() for name, dtype in typed.items() if dtype == pl.Null}
    for each in evaluated.equalities([*typed]):
        for text, other in ((each.one, each.other), (each.other, each.one)):
            if text and text <= texts and other <= others:
                names = ", ".join(f"'{name}'" for name in sorted(text))
                hint = f"compare it with text, or cast it: CAST({min(text)} AS DECIMAL(18, 2))"
                raise Refused("invalid_query", f"{names} is text, and compared with what is not: {each.sql[:80]}", hint)
