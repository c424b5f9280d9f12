"""Documents whose nodes are a graph."""

from __future__ import annotations

from typing import Any

from headrace.connectors.source import Discovery, Partition
from headrace.flows.compile import PhysicalPlan, TargetColumn, logical_plan, physical_plan
from headrace.ir import parse_ir
from headrace.ir.schema import Field

ORDERS = {"id": "bigint", "customer": "integer", "amount": "decimal", "note": "text"}


CUSTOMERS = {"nr": "bigint", "name": "text", "note": "text"}


TABLE = [TargetColumn(Field(name, "text")) for name in ("id", "customer", "amount", "name", "n")]


def source(node: str, fields: dict[str, str]) -> dict[str, Any]:
    declared = [{"name": name, "dataType": kind} for name, kind in fields.items()]
    return {
        "id": node,
        "kind": "source",
        "connector": "local_fs",
        "config": {"path": f"{node}.csv"},
        "fields": declared,
    }


def target(node: str, before: str, **more: Any) -> dict[str, Any]:
    return {"id": node, "kind": "target", "input": before, "schema": f"public.ds_{node}", **more}


def transform(node: str, before: str, *ops: dict[str, Any]) -> dict[str, Any]:
    return {"id": node, "kind": "transform", "input": before, "ops": list(ops)}


def branch(node: str, before: str, default: str = "drop", **routes: str) -> dict[str, Any]:
    listed = [{"name": name, "when": when} for name, when in routes.items()]
    return {"id": node, "kind": "branch", "input": before, "routes": listed, "default": default}


def join(node: str, left: str, right: str, kind: str = "inner", **more: Any) -> dict[str, Any]:
    on = [{"left": "customer", "right": "nr"}]
    return {"id": node, "kind": "join", "inputs": [left, right], "type": kind, "on": on, **more}


COUNT = {"type": "aggregate", "groupBy": ["name"], "aggregations": [{"fn": "count", "as": "n"}]}


FILTER = {"type": "filter", "expression": "amount > 0"}


def document(*nodes: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "pipeline", "version": "1.0", "id": "p", "metadata": {"name": "P"}, "nodes": list(nodes)}


def plan(*nodes: dict[str, Any], rows: int = 2_000_000, buckets: dict[str, int] | None = None) -> PhysicalPlan:
    parsed = parse_ir(document(*nodes))
    assert parsed.ir is not None, parsed.problems
    sources = {node.id: node.declared for node in parsed.ir.nodes if node.kind == "source"}
    logical = logical_plan(parsed.ir, sources, {node.id: TABLE for node in parsed.ir.nodes if node.kind == "target"})
    assert not logical.problems, logical.problems
    halves = [Partition(0, 1, rows // 2, {"part": 0}), Partition(1, rows // 2 + 1, rows - rows // 2, {"part": 1})]
    found = {node: Discovery(schema, halves, rows, "f") for node, schema in sources.items()}
    return physical_plan(parsed.ir, logical, found, parallelism=2, buckets=buckets)
