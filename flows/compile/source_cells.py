"""The columns of a plan that hold cells of a source column, so that errors can show them as the source has them.

A column that is renamed or read as another type still holds the cells of the source; one that an op computes does not.
After steps that combine rows no column does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from headrace.connectors.source import ROW
from headrace.flows.compile.logical_node import LogicalNode
from headrace.flows.compile.step import Step
from headrace.ir.nodes import SourceNode, producer

Cells = Mapping[str, str]
"""A column → the source's column whose cells it holds."""


def with_source_cells(nodes: Mapping[str, LogicalNode]) -> dict[str, LogicalNode]:
    """The nodes (upstream before downstream) with `cells` set on their steps, for the columns that checks report, and
    on themselves, for their output columns."""
    found: dict[str, LogicalNode] = {}
    for node_id, node in nodes.items():
        if isinstance(node.node, SourceNode):
            found[node_id] = replace(node, cells={name: name for name in node.schema if name != ROW})
            continue
        inputs = node.node.inputs
        cells: Cells = found[producer(inputs[0])].cells if len(inputs) == 1 else {}
        steps: list[Step] = []
        for step in node.steps:
            reported = _reported(step, cells)
            steps.append(replace(step, cells=reported) if reported else step)
            cells = _cells_after(step, cells)
        found[node_id] = replace(node, steps=tuple(steps), cells=cells)
    return found


def _reported(step: Step, cells: Cells) -> Cells:
    """The columns whose cells the checks of a step report, without those of which a check reports only a part."""
    parts = {check.column for check in step.checks if check.derived}
    return {
        check.column: cells[check.column]
        for check in step.checks
        if check.column in cells and check.column not in parts
    }


def _cells_after(step: Step, cells: Cells) -> Cells:
    if step.shuffle is not None or step.copies > 1 or not cells:
        return {}
    if any(expression.meta.is_regex_projection() for expression in step.columns):
        return {}
    made = {expression.meta.output_name(): expression for expression in step.columns}
    after = {name: column for name, column in cells.items() if name not in made} if made else dict(cells)
    for name, expression in made.items():
        roots = expression.meta.root_names()
        kept = name in step.same or expression.meta.undo_aliases().meta.is_column()
        if kept and len(roots) == 1 and roots[0] in cells:
            after[name] = cells[roots[0]]
    if step.reshape is None:
        return after
    if step.origins is None:
        return {}
    moved = {name: after.get(source) if name in step.same else None for name, source in step.origins.items()}
    gone = {name for name, column in moved.items() if column is None}
    return {name: column for name, column in {**after, **moved}.items() if column is not None and name not in gone}
