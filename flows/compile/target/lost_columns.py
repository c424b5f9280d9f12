"""`schemaContract: freeze` and the columns that a source has lost: of the last run, or of one of several files.

Columns that the document names (`fields` of a source with one file, `mapping`, ops, rules) need no comparison: without
them it does not compile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from headrace.connectors.source import Discovery
from headrace.flows.compile.logical_node import LogicalPlan
from headrace.flows.compile.target.schema_contract import TargetColumn
from headrace.flows.compile.type_inference.column_trace import SchemaTrace, trace_columns
from headrace.ir import PipelineIR, Problem
from headrace.ir.nodes import TargetNode
from headrace.ir.schema import Schema

_SHOWN = 3
_GONE = (
    "provide it again; if it is gone for good, declare the columns that the source has in its `fields`, or choose "
    "another schemaContract (evolve)"
)
_LACKING = (
    'provide it again; if null is right, set options.missingColumns to "null", or choose another schemaContract '
    "(evolve)"
)


@dataclass(frozen=True, slots=True)
class LastRun:
    """The columns that a source had in the last run that was planned with it."""

    run_id: str
    columns: Schema


def lost_columns(
    ir: PipelineIR,
    last: Mapping[str, LastRun],
    found: Mapping[str, Discovery],
    targets: Mapping[str, Sequence[TargetColumn]],
    logical: LogicalPlan,
    compiled: Callable[[Mapping[str, Schema]], LogicalPlan],
) -> list[Problem]:
    """A problem for each column of a frozen table that a column of a source was loaded into, which the source (or one
    of its files) does not have any more. `last` and `found` are by source node, `targets` are the tables by target
    node. `logical` is the plan with the sources as found, `compiled` makes the plan with other columns."""
    frozen = {node.id for node in ir.nodes if isinstance(node, TargetNode) and node.schema_contract == "freeze"}
    if not frozen:
        return []
    return [
        *_gone(ir, frozen, last, found, targets, logical, compiled),
        *_lacking(ir, frozen, found, targets, logical),
    ]


def _gone(
    ir: PipelineIR,
    frozen: set[str],
    last: Mapping[str, LastRun],
    found: Mapping[str, Discovery],
    targets: Mapping[str, Sequence[TargetColumn]],
    logical: LogicalPlan,
    compiled: Callable[[Mapping[str, Schema]], LogicalPlan],
) -> Iterator[Problem]:
    gone = {
        node: names
        for node, before in last.items()
        if node in found
        and found[node].schema
        and (names := {each.name for each in before.columns} - {each.name for each in found[node].schema})
    }
    if not gone:
        return
    now = {node: each.schema for node, each in found.items() if each.schema}
    then = now | {node: last[node].columns for node in gone}
    trace = _traced(ir, then, targets, compiled(then))
    for (source, column), target, table_column in _loaded(ir, trace, frozen):
        if column not in gone.get(source, ()):
            continue
        if target.id not in logical.nodes or table_column in logical.nodes[target.id].written:
            continue  # a fault that is reported anyway, or a column that is filled by another one now
        message = (
            f"The source '{source}'{_place(found[source])} has no column '{column}' any more, which was loaded into "
            f"{target.table}.{table_column} (in {last[source].run_id}), and the table is frozen"
        )
        yield Problem(_path(ir, target), "column_gone", message, _GONE)


def _lacking(
    ir: PipelineIR,
    frozen: set[str],
    found: Mapping[str, Discovery],
    targets: Mapping[str, Sequence[TargetColumn]],
    logical: LogicalPlan,
) -> Iterator[Problem]:
    if not any(each.lacking for each in found.values()):
        return
    now = {node: each.schema for node, each in found.items() if each.schema}
    for (source, column), target, table_column in _loaded(ir, _traced(ir, now, targets, logical), frozen):
        if source in found and (files := [name for name, names in found[source].lacking.items() if column in names]):
            message = (
                f"The source '{source}' lacks the column '{column}' in {_listed(files)}, which is loaded into "
                f"{target.table}.{table_column}, and the table is frozen"
            )
            yield Problem(_path(ir, target), "column_gone", message, _LACKING)


def _traced(
    ir: PipelineIR,
    sources: Mapping[str, Schema],
    targets: Mapping[str, Sequence[TargetColumn]],
    logical: LogicalPlan,
) -> SchemaTrace:
    return trace_columns(ir, sources, targets, {name: tuple(node.schema) for name, node in logical.nodes.items()})


def _loaded(ir: PipelineIR, trace: SchemaTrace, frozen: set[str]) -> Iterator[tuple[tuple[str, str], TargetNode, str]]:
    """(source node, its column), the target that loads it, and the table's column."""
    nodes = {node.id: node for node in ir.nodes}
    for origin, each in trace.columns.items():
        for target_id in each.targets.keys() & frozen:
            target = nodes[target_id]
            assert isinstance(target, TargetNode)
            for table_column in each.targets[target_id]:
                yield origin, target, table_column.field.name


def _path(ir: PipelineIR, target: TargetNode) -> str:
    return f"nodes[{ir.nodes.index(target)}].schemaContract"


def _place(found: Discovery) -> str:
    """The files of a source in brackets; empty where it does not consist of files."""
    pieces = (piece for part in found.partitions for piece in part.location.get("pieces", ()))
    files = list(dict.fromkeys(str(piece["path"]) for piece in pieces))
    return f" ({_listed(files)})" if files else ""


def _listed(files: Sequence[str]) -> str:
    more = f" and {len(files) - _SHOWN:,} more" if len(files) > _SHOWN else ""
    return ", ".join(files[:_SHOWN]) + more
