"""The nodes of a document as a graph, with counts where there are some; static/graph.js draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.ir import PipelineIR

Counts = Mapping[str, Mapping[str, int]]


def graph_of(ir: PipelineIR, counts: Counts | None = None, links: Mapping[str, str] | None = None) -> dict[str, Any]:
    """`nodes` and `edges` as JSON. `counts` are the counters of a run by node; `links` are where nodes lead to."""
    ids = {node.id for node in ir.nodes}
    counted = counts or {}
    nodes = []
    edges = []
    for node in ir.nodes:
        counters = counted.get(node.id)
        shown: dict[str, Any] = {"id": node.id, "kind": _kind(node)}
        if counters is not None:
            shown["rows"] = counters.get("rowsOut", 0)
            shown["failed"] = counters.get("failed", 0)
            shown["warned"] = counters.get("warned", 0)
        if links is not None and node.id in links:
            shown["href"] = links[node.id]
        nodes.append(shown)
        for given in node.inputs:
            before, _, route = (given, "", "") if given in ids else given.rpartition(".")
            edge: dict[str, Any] = {"from": before, "to": node.id, "route": route}
            if (rows := _passed(counted, before, node.id, len(node.inputs), route)) is not None:
                edge["rows"] = rows
            edges.append(edge)
        _fill_last(edges, counted, node.id, len(node.inputs))
    return {"nodes": nodes, "edges": edges}


def _passed(counts: Counts, before: str, after: str, inputs: int, route: str) -> int | None:
    """Rows that passed an edge: those that came into the node after it, or if that has several inputs, those that left
    the node before it."""
    if inputs == 1 and after in counts:
        return counts[after].get("rowsIn", 0)
    return counts[before].get("rowsOut", 0) if before in counts and not route else None


def _fill_last(edges: Sequence[dict[str, Any]], counts: Counts, after: str, inputs: int) -> None:
    """Counts the one edge into a node whose rows are not known, such as a route of a branch into a join: they are what
    the others leave of the rows that came in."""
    into = [edge for edge in edges[len(edges) - inputs :] if edge["to"] == after]
    unknown = [edge for edge in into if "rows" not in edge]
    if len(unknown) == 1 and after in counts:
        others = sum(edge.get("rows", 0) for edge in into)
        unknown[0]["rows"] = max(counts[after].get("rowsIn", 0) - others, 0)


def _kind(node: Any) -> str:
    if node.kind == "source":
        return str(node.connector)
    if node.kind == "target":
        return f"{node.load_mode} into {node.table}"
    return str(node.kind)
