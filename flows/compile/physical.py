"""From typed nodes to what runs: stages of fused steps between a source and a target, cut into partitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors.base import Discovery, Partition
from flows.compile.logical import LogicalNode, LogicalPlan
from flows.compile.segment import Segment, fuse
from flows.compile.step import Step
from ir import PipelineIR, Problem
from ir.nodes import SourceNode, TargetNode, ValidateNode
from ir.schema import Schema


@dataclass(frozen=True, slots=True)
class Stage:
    """A chain of row-local nodes from a source to a target: each partition passes through it in one go, and nothing is
    written in between. `schema` is what the source gives."""

    index: int
    source: SourceNode
    target: TargetNode
    nodes: tuple[str, ...]
    segments: tuple[Segment, ...]
    schema: Schema
    columns: tuple[str, ...]
    partitions: tuple[Partition, ...]
    quarantine: Mapping[str, str] = field(default_factory=dict)
    """The quarantine table of each validate node that has one."""

    @property
    def name(self) -> str:
        """What people see. The blanks are there because the timeline in Prefect's UI cannot draw the arrows."""
        return " → ".join(self.nodes)

    def task_name(self, partition: int) -> str:
        """The name of the Prefect task of one partition (its number counts from 1 for people)."""
        return f"{self.name} [{partition + 1}/{len(self.partitions)}]"


@dataclass(frozen=True, slots=True)
class PhysicalPlan:
    """What runs. `notes` are remarks for the run's log, such as columns that are not loaded."""

    stages: tuple[Stage, ...]
    notes: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """The plan as JSON: stored with the run, shown to people, compared in tests."""
        return {"stages": [_describe(stage) for stage in self.stages], "notes": list(self.notes)}


def shape_problems(ir: PipelineIR) -> list[Problem]:
    """What this version cannot run although the document is well formed."""
    readers: dict[str, list[int]] = {}
    for position, node in enumerate(ir.nodes):
        for reference in node.inputs:
            readers.setdefault(reference, []).append(position)
    return [
        Problem(
            f"nodes[{positions[1]}].input",
            "fan_out",
            f"'{reference}' is read by {len(positions)} nodes",
            "let each node be read by one other; load the second target in a pipeline of its own",
        )
        for reference, positions in readers.items()
        if len(positions) > 1
    ]


def physical_plan(ir: PipelineIR, logical: LogicalPlan, discoveries: Mapping[str, Discovery]) -> PhysicalPlan:
    """The stages of a plan without problems; every source must have been discovered. A target whose columns cannot be
    known, because its source's cannot, has none."""
    stages: list[Stage] = []
    notes: list[str] = []
    for node in ir.nodes:
        if isinstance(node, TargetNode) and node.id in logical.nodes:
            chain = _chain(node.id, logical.nodes)
            source = chain[0].node
            assert isinstance(source, SourceNode)
            discovery = discoveries[source.id]
            target = chain[-1]
            stages.append(
                Stage(
                    index=len(stages),
                    source=source,
                    target=node,
                    nodes=tuple(link.node.id for link in chain),
                    segments=tuple(fuse(step for link in chain for step in link.steps)),
                    schema=discovery.schema,
                    columns=target.written,
                    partitions=tuple(discovery.partitions),
                    quarantine={
                        link.node.id: link.node.quarantine.table
                        for link in chain
                        if isinstance(link.node, ValidateNode) and link.node.quarantine is not None
                    },
                )
            )
            if target.left_out:
                notes.append(f"{node.table} has no column for {', '.join(target.left_out)}: not loaded")
    return PhysicalPlan(tuple(stages), tuple(notes))


def _chain(target: str, nodes: Mapping[str, LogicalNode]) -> Sequence[LogicalNode]:
    """The nodes from the source to the target, in order."""
    chain = [nodes[target]]
    while chain[0].node.inputs:
        chain.insert(0, nodes[chain[0].node.inputs[0]])
    return chain


def _describe(stage: Stage) -> dict[str, Any]:
    return {
        "name": stage.name,
        "nodes": list(stage.nodes),
        "source": {"connector": stage.source.connector, "columns": [f"{f.name} {f.data_type}" for f in stage.schema]},
        "segments": [[_label(step) for step in segment.steps] for segment in stage.segments],
        "target": {
            "table": stage.target.table,
            "loadMode": stage.target.load_mode,
            "columns": [*stage.columns],
        },
        "partitions": [
            {"index": p.index, "firstRow": p.first_row, "rows": p.rows, **p.location} for p in stage.partitions
        ],
    }


def _label(step: Step) -> str:
    return f"{step.node}: {step.label}"
