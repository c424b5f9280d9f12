"""Documents and plans for the tests of the compiler and the run."""

from __future__ import annotations

from typing import Any

import polars as pl

from headrace.connectors.source import ROW, Discovery, Partition
from headrace.flows.compile import LogicalPlan, PhysicalPlan, TargetColumn, logical_plan, physical_plan
from headrace.ir import parse_ir
from headrace.ir.schema import Field, Schema

SCHEMA: Schema = (
    Field("id", "bigint"),
    Field("name", "text"),
    Field("amount", "text"),
    Field("price", "double"),
    Field("day", "date"),
)

TABLE = [
    TargetColumn(Field("id", "integer"), required=True),
    TargetColumn(Field("name", "text")),
    TargetColumn(Field("amount", "integer")),
    TargetColumn(Field("day", "date")),
    TargetColumn(Field("total", "double")),
]


def document(ops: list[dict[str, Any]] | None = None, rules: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """A pipeline src → [clean] → [check] → tgt, with the nodes that have something to do."""
    nodes: list[dict[str, Any]] = [{"id": "src", "kind": "source", "connector": "local_fs", "config": {}}]
    if ops is not None:
        nodes.append({"id": "clean", "kind": "transform", "input": nodes[-1]["id"], "ops": ops})
    if rules:
        rows = [{"id": f"r{number}", **rule} for number, rule in enumerate(rules)]
        nodes.append({"id": "check", "kind": "validate", "input": nodes[-1]["id"], "rowLevel": rows})
    nodes.append({"id": "tgt", "kind": "target", "input": nodes[-1]["id"], "schema": "public.ds_t"})
    return {"kind": "pipeline", "version": "1.0", "id": "p", "metadata": {"name": "P"}, "nodes": nodes}


def logical(
    ops: list[dict[str, Any]] | None = None,
    rules: list[dict[str, Any]] | None = None,
    *,
    schema: Schema = SCHEMA,
    table: list[TargetColumn] | None = None,
    **target: Any,
) -> LogicalPlan:
    """The typed nodes of such a pipeline."""
    raw = document(ops, rules)
    raw["nodes"][-1].update(target)
    parsed = parse_ir(raw)
    assert parsed.ir is not None, parsed.problems
    return logical_plan(parsed.ir, {"src": schema}, {"tgt": TABLE if table is None else table})


def physical(ops: list[dict[str, Any]] | None = None, rules: list[dict[str, Any]] | None = None) -> PhysicalPlan:
    """The plan of such a pipeline over two partitions of 100 rows."""
    parsed = parse_ir(document(ops, rules))
    assert parsed.ir is not None, parsed.problems
    plan = logical(ops, rules)
    assert not plan.problems, plan.problems
    partitions = [Partition(0, 1, 100, {"path": "a.csv", "start": 10}), Partition(1, 101, 100, {"path": "b.csv"})]
    return physical_plan(parsed.ir, plan, {"src": Discovery(SCHEMA, partitions, 200, "f")})


def rows(**columns: list[Any]) -> pl.DataFrame:
    """A batch with those columns of SCHEMA (others null), numbered from 1."""
    height = len(next(iter(columns.values())))
    dtypes = {"id": pl.Int64, "name": pl.String, "amount": pl.String, "price": pl.Float64, "day": pl.Date}
    frame = pl.DataFrame({name: columns.get(name, [None] * height) for name in dtypes}, schema=dtypes)
    return frame.with_columns(pl.Series(ROW, range(1, height + 1), dtype=pl.Int64))
