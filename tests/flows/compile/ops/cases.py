"""Running one op over a frame, whole or in pieces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from headrace.connectors.source import ROW
from headrace.flows.compile import LogicalPlan, ReferenceTable, logical_plan
from headrace.flows.compile.stages.segment import fuse
from headrace.flows.runtime.transform.row_counts import RowCounts
from headrace.flows.runtime.transform.segment_runner import run_segment
from headrace.ir import parse_ir
from headrace.ir.schema import Field, Schema
from tests.flows.pipelines import document

Op = dict[str, Any]
Cells = list[tuple[Any, ...]]

SCHEMA: Schema = (
    Field("id", "bigint"),
    Field("text", "text"),
    Field("other", "varchar"),
    Field("small", "smallint"),
    Field("price", "double"),
    Field("amount", "decimal", 12, 2),
    Field("flag", "boolean"),
    Field("day", "date"),
    Field("clock", "time"),
    Field("stamp", "timestamp"),
    Field("moment", "timestamptz"),
    Field("key", "uuid"),
)


def planned(*ops: Op, tables: Mapping[str, ReferenceTable] | None = None, rules: list[Op] | None = None) -> LogicalPlan:
    """The typed nodes of a pipeline with these ops over SCHEMA."""
    parsed = parse_ir(document(list(ops), rules))
    assert parsed.ir is not None, parsed.problems
    return logical_plan(parsed.ir, {"src": SCHEMA}, {}, tables=tables)


def problems(*ops: Op, **options: Any) -> list[tuple[str, str]]:
    """What is wrong with the ops: place in the op, code."""
    return [(p.path.removeprefix("nodes[1]."), p.code) for p in planned(*ops, **options).problems]


def frame(**columns: list[Any]) -> pl.DataFrame:
    """A batch with those columns of SCHEMA, others null, numbered from 1."""
    from headrace.connectors.datatypes import polars_dtype

    height = len(next(iter(columns.values())))
    made = pl.DataFrame(
        {field.name: columns.get(field.name, [None] * height) for field in SCHEMA},
        schema={field.name: polars_dtype(field) for field in SCHEMA},
    )
    return made.with_columns(pl.Series(ROW, range(1, height + 1), dtype=pl.Int64))


def passed(plan: LogicalPlan, batch: pl.DataFrame, node: str = "clean") -> tuple[pl.DataFrame, Cells, dict[str, int]]:
    """What a node makes of a batch: the rows that go on, the rejected cells, the counters."""
    assert not plan.problems, plan.problems
    compiled = plan.nodes[node]
    row_counts, cells = RowCounts.of([node]), []
    for segment in fuse(compiled.steps):
        sieved = run_segment(segment, batch, row_counts)
        batch = sieved.frame
        cells += [cell for found in sieved.rejects for cell in found.cells.rows()]
    assert batch.schema == compiled.schema
    return batch, cells, row_counts.nodes[node]


def values(op: Op, column: str, **columns: list[Any]) -> list[Any]:
    """The values of one column after one op."""
    made, cells, _ = passed(planned(op), frame(**columns))
    assert not cells
    return made.get_column(column).to_list()
