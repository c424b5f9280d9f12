"""Which columns of which source the key of a target is made of, for comparing keys.

A key can be compared where its values get to the target as the source has them: under other names, but not computed.
What a row rule or a filter leaves out stays in the table as it was, because the source still has its key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headrace.connectors.registry import connectors, reader
from headrace.flows.compile import LogicalPlan
from headrace.flows.lineage.graph import Column, Root, ancestry
from headrace.flows.lineage.trace import trace
from headrace.ir import PipelineIR, Problem
from headrace.ir.nodes import SourceNode, TargetNode, producer


@dataclass(frozen=True, slots=True)
class TracedKey:
    """The source whose keys are compared, and its column for each key column of the table."""

    source: SourceNode
    columns: Mapping[str, str]


def traced_keys(ir: PipelineIR, logical: LogicalPlan) -> tuple[dict[str, TracedKey], list[Problem]]:
    """By target, for those that notice deletes; and why others cannot. Targets whose columns are not known yet are in
    neither."""
    found: dict[str, TracedKey] = {}
    problems: list[Problem] = []
    noticing = [node for node in ir.nodes if isinstance(node, TargetNode) and node.deletes is not None]
    if not noticing:
        return found, problems
    frames = trace(logical)
    for node in noticing:
        path = f"nodes[{ir.nodes.index(node)}].deletes"
        before = producer(node.input)
        if node.id not in logical.nodes or before not in frames:
            continue
        said = list(_faults(node, path, logical.nodes[node.id].written))
        names = {name: _incoming(node, name, logical) for name in node.upsert_key}
        roots = {name: _root(frames[before].of(incoming)) for name, incoming in names.items()}
        for name, root in roots.items():
            if root is None:
                message = f"The key column '{name}' is computed, so it cannot be compared with what the source has"
                said.append(Problem(path, "computed_key", message, "use a key that the source has, or remove deletes"))
        sources = {root.node for root in roots.values() if root is not None}
        if len(sources) > 1:
            message = f"The upsertKey is made of columns of {' and '.join(sorted(map(str, sources)))}"
            said.append(Problem(path, "several_sources", message, "use a key of one source, or remove deletes"))
        source = ir.node(str(sources.pop())) if len(sources) == 1 else None
        if isinstance(source, SourceNode) and not said:
            known = connectors().get(source.connector) or reader(source.connector)
            if known is not None and known.keys is None:
                message = f"The keys of {source.connector} cannot be read alone, so deletes cannot be noticed"
                said.append(Problem(path, "no_keys", message, "remove deletes"))
            else:
                found[node.id] = TracedKey(source, {name: root.column for name, root in roots.items() if root})
        problems += said
    return found, problems


def _faults(node: TargetNode, path: str, written: tuple[str, ...]) -> Iterator[Problem]:
    assert node.deletes is not None
    if node.deletes.column in written:
        message = f"'{node.deletes.column}' is to be marked, and the data have a column for it too"
        yield Problem(f"{path}.column", "marked_column", message, "mark another column, or leave it out of the data")


def _incoming(node: TargetNode, name: str, logical: LogicalPlan) -> str:
    """The column of the data for a key column of the table."""
    steps = logical.nodes[node.id].steps
    origins = steps[-1].origins if steps else None
    return (origins or {}).get(name) or node.mapping.get(name, name)


def _root(column: Column) -> Root | None:
    """The column of a source whose values these are, unchanged."""
    roots = ancestry(column).roots
    if len(roots) != 1:
        return None
    [(root, uses)] = roots.items()
    unchanged = all(use.subtype == "identity" and not use.masking for use in uses)
    return root if unchanged and root.node is not None else None
