"""The lineage of a document alone, as it can be told when it is saved, and which nodes it cannot be told of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter

import polars as pl

from flows.compile import LogicalPlan, ReferenceTable, TargetColumn, logical_plan
from flows.lineage.targets import TargetLineage, lineage_of
from ir import PipelineIR
from ir.nodes import AnyNode, ArchiveNode, SourceNode, TargetNode, producer


@dataclass(frozen=True, slots=True)
class DeclaredLineage:
    """The lineage of the targets that it is known of; `unknown` says of each node why its columns are not known."""

    targets: tuple[TargetLineage, ...]
    unknown: Mapping[str, str]


def declared_lineage(ir: PipelineIR, tables: Mapping[str, ReferenceTable]) -> DeclaredLineage:
    """As types are checked when a document is saved: sources by their declared `fields`, targets and lookups by the
    tenant's `tables`. No data are looked at."""
    sources = {node.id: node.declared for node in ir.nodes if isinstance(node, SourceNode) and node.fields}
    targets = {
        node.id: [TargetColumn(field, takes=_is_nested) for field in tables[node.table].fields]
        for node in ir.nodes
        if isinstance(node, TargetNode) and node.table in tables
    }
    plan = logical_plan(ir, sources, targets, tables=tables)
    unknown = _unknown(ir, plan, tables)
    found = (target for target in lineage_of(plan) if target.node.id not in unknown)
    return DeclaredLineage(tuple(found), unknown)


def _is_nested(have: pl.DataType) -> bool:
    """Lists and the like are taken as they are: the table may have a type for them that no schema has."""
    return have.is_nested()


def _unknown(ir: PipelineIR, plan: LogicalPlan, tables: Mapping[str, ReferenceTable]) -> dict[str, str]:
    """In the order of the document."""
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
            found[node_id] = "The source declares no 'fields': its columns are known when a run reads it"
        elif isinstance(node, TargetNode) and node.table not in tables:
            found[node_id] = f"'{node.table}' is not a table of one of your schemas"
        elif node_id not in plan.nodes and not isinstance(node, ArchiveNode):
            found[node_id] = "Its columns are known when a run is planned"
    return {node.id: found[node.id] for node in ir.nodes if node.id in found}
