"""The lineage of a document when it is saved, and the nodes whose columns are not known yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter

import polars as pl

from headrace.flows.compile import LogicalPlan, ReferenceTable, TargetColumn, logical_plan
from headrace.flows.compile.target.api_columns import known_api_columns
from headrace.flows.lineage.targets import TargetLineage, lineage_of
from headrace.ir import PipelineIR
from headrace.ir.nodes import AnyNode, ArchiveNode, SourceNode, TargetNode, producer
from headrace.ir.schema import Schema


@dataclass(frozen=True, slots=True)
class DeclaredLineage:
    """The lineage of targets where it is known; `unknown` are the other nodes with the reason."""

    targets: tuple[TargetLineage, ...]
    unknown: Mapping[str, str]


def declared_lineage(
    ir: PipelineIR, tables: Mapping[str, ReferenceTable], found: Mapping[str, Schema] | None = None
) -> DeclaredLineage:
    """The lineage by declarations: sources by their `fields`, else by the columns `found` in them earlier (by node),
    targets and lookups by the tenant's `tables`. No data are read."""
    nodes = [node for node in ir.nodes if isinstance(node, SourceNode)]
    sources = {node.id: found[node.id] for node in nodes if found is not None and node.id in found}
    sources |= {node.id: node.declared for node in nodes if node.fields}
    targets = {
        node.id: [TargetColumn(field, takes=_is_nested) for field in tables[node.table].fields]
        for node in ir.nodes
        if isinstance(node, TargetNode) and node.table in tables
    } | known_api_columns(ir)
    plan = logical_plan(ir, sources, targets, tables=tables)
    unknown = _unknown(ir, plan, tables)
    traced = (target for target in lineage_of(plan) if target.node.id not in unknown)
    return DeclaredLineage(tuple(traced), unknown)


def _is_nested(have: pl.DataType) -> bool:
    """Nested types are used unchanged: the table may have a type for them that no schema has."""
    return have.is_nested()


def _unknown(ir: PipelineIR, plan: LogicalPlan, tables: Mapping[str, ReferenceTable]) -> dict[str, str]:
    """The nodes whose columns are not known → why, in the order of the document."""
    faults = {problem.path.partition(".")[0].partition("]")[0]: problem.message for problem in reversed(plan.problems)}
    own = {node.id: fault for index, node in enumerate(ir.nodes) if (fault := faults.get(f"nodes[{index}"))}
    by_id: dict[str, AnyNode] = {node.id: node for node in ir.nodes}
    found: dict[str, str] = {}
    for node_id in TopologicalSorter({node.id: [*map(producer, node.inputs)] for node in ir.nodes}).static_order():
        node = by_id[node_id]
        before = [producer(reference) for reference in node.inputs if producer(reference) in found]
        if node_id in own:
            found[node_id] = own[node_id]
        elif before:
            found[node_id] = f"The columns of '{before[0]}', which it reads, are not known"
        elif isinstance(node, SourceNode) and node_id not in plan.nodes:
            found[node_id] = (
                "The source declares no 'fields': its columns are known once a run or plan has inspected it"
            )
        elif isinstance(node, TargetNode) and node.connector is None and node.table not in tables:
            found[node_id] = f"'{node.table}' is not a table of one of your schemas"
        elif node_id not in plan.nodes and not isinstance(node, ArchiveNode):
            found[node_id] = "Its columns are known when a run is planned"
    return {node.id: found[node.id] for node in ir.nodes if node.id in found}
