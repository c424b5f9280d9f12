"""The lineage of the targets of a plan, as plain data for REST and OpenLineage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from headrace.flows.compile import LogicalPlan
from headrace.flows.compile.provenance import Indirect
from headrace.flows.lineage.graph import Decision, Place, Root, Use, ancestry, decisions
from headrace.flows.lineage.trace import trace
from headrace.ir.nodes import TargetNode


@dataclass(frozen=True, slots=True)
class Input:
    """A root that a column comes from, and all uses."""

    root: Root
    uses: tuple[Use, ...]


@dataclass(frozen=True, slots=True)
class ColumnLineage:
    """A column of a target. `inputs` are empty for a constant or a count of rows; `steps` made or changed it."""

    name: str
    inputs: tuple[Input, ...]
    steps: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class RowInput:
    """A root that decides which rows a target gets, or which are combined, and the steps that use it so."""

    root: Root
    subtype: Indirect
    steps: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class TargetLineage:
    """The origins of a target's columns, and what decides about its rows."""

    node: TargetNode
    columns: tuple[ColumnLineage, ...]
    rows: tuple[RowInput, ...]


def lineage_of(plan: LogicalPlan) -> Iterator[TargetLineage]:
    """The lineage of every target whose columns are known."""
    frames = trace(plan)
    for node_id, compiled in plan.nodes.items():
        if isinstance(compiled.node, TargetNode):
            frame = frames[node_id]
            columns = []
            for name, column in frame.columns.items():
                roots, steps = ancestry(column)
                inputs = tuple(Input(root, tuple(uses)) for root, uses in roots.items())
                columns.append(ColumnLineage(name, inputs, tuple(steps)))
            yield TargetLineage(compiled.node, tuple(columns), tuple(_rows(decisions([frame.decided]))))


def _rows(taken: Iterable[Decision]) -> Iterator[RowInput]:
    steps: dict[tuple[Root, Indirect], dict[Place, None]] = {}
    for decision in taken:
        assert decision.place is not None
        for column in decision.columns:
            for root in ancestry(column).roots:
                steps.setdefault((root, decision.subtype), {})[decision.place] = None
    for (root, subtype), places in steps.items():
        yield RowInput(root, subtype, tuple(places))
