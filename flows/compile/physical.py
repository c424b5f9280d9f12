"""From typed nodes to what runs: stages of fused steps, from a source or a gathering to sinks, cut into partitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from connectors.base import Discovery
from flows.compile.bounds import bounded
from flows.compile.builder import Builder
from flows.compile.dataset_rules.base import NodeAudit
from flows.compile.logical import LogicalNode, LogicalPlan
from flows.compile.projection import projected
from flows.compile.stage import Load, Stage
from flows.compile.upsert_key import missing_keys
from flows.compile.watermark import missing_watermarks
from flows.compile.ways import Ways, ways
from ir import PipelineIR, Problem
from ir.nodes import TargetNode


@dataclass(frozen=True, slots=True)
class PhysicalPlan:
    """What runs, stages behind those they come after. `notes` are remarks for the run's log, such as columns that are
    not loaded; `audits` what dataset rules are to be judged before rows that are held back become visible."""

    stages: tuple[Stage, ...]
    notes: tuple[str, ...]
    audits: tuple[NodeAudit, ...] = ()

    @property
    def loads(self) -> tuple[Load, ...]:
        """All targets, by their numbers."""
        return tuple(sorted((load for stage in self.stages for load in stage.loads), key=lambda load: load.number))

    @property
    def total_rows(self) -> int:
        """Rows that the sources have."""
        return sum(stage.rows for stage in self.stages if stage.source is not None)

    @property
    def balanced(self) -> bool:
        """Whether every row that is read ends exactly once: loaded, failed or skipped."""
        return all(
            (stage.gathering is None or stage.gathering.gather.keeps_rows)
            and not any(stretch.forks for stretch in stage.trunk)
            and all(step.copies == 1 for segment in stage.segments for step in segment.steps)
            for stage in self._onward
        )

    @property
    def entangling(self) -> str | None:
        """The first node that brings rows together or makes several of one; None where each row goes its way alone, so
        that one that failed can be run again by itself."""
        for stage in self._onward:
            if stage.gathering is not None:
                return stage.gathering.node
            for segment in stage.segments:
                if segment.steps[-1].copies > 1:
                    return segment.steps[-1].node
        return None

    @property
    def ways(self) -> list[Ways]:
        """By stage, for which targets a row that fails at a node is open; nothing where it has one way only."""
        forked = (any(stretch.forks for stretch in stage.trunk) for stage in self.stages)
        return [ways(stage.trunk) if forks else {} for stage, forks in zip(self.stages, forked, strict=True)]

    @property
    def _onward(self) -> Iterator[Stage]:
        """The stages that bring rows nearer to a target."""
        return (stage for stage in self.stages if not stage.audits)

    @property
    def rebuilt(self) -> frozenset[str]:
        """Nodes that make other rows than they get, or keep some back: what goes in need not come out."""
        gathered = {
            stage.gathering.node
            for stage in self._onward
            if stage.gathering is not None and not stage.gathering.gather.keeps_rows
        }
        copied = {
            step.node
            for stage in self.stages
            for segment in stage.segments
            for step in segment.steps
            if step.copies > 1
        }
        return frozenset(gathered | copied)

    def describe(self) -> dict[str, Any]:
        """The plan as JSON: stored with the run, shown to people, compared in tests."""
        from flows.compile.describe import described

        return {"stages": [described(stage) for stage in self.stages], "notes": list(self.notes)}


def shape_problems(ir: PipelineIR) -> list[Problem]:
    """What this version cannot run although the document is well formed."""
    return [*missing_watermarks(ir), *missing_keys(ir)]


def physical_plan(
    ir: PipelineIR,
    logical: LogicalPlan,
    discoveries: Mapping[str, Discovery],
    *,
    parallelism: int = 4,
    buckets: Mapping[str, int] | None = None,
    push_down: bool = True,
    audits: bool = True,
) -> PhysicalPlan:
    """The stages of a plan without problems; every source must have been discovered. What leads to no target whose
    columns are known, because its source's cannot be, is left out. `buckets` of gatherings are those of an earlier
    attempt, by id; others get enough for their rows, and for `parallelism` partitions at a time. `push_down`: sources
    are asked only for what the plan has a use for, which changes nothing else. `audits`: whether dataset rules apply,
    which they do not to some rows of a run."""
    nodes = logical.nodes
    if not audits:
        nodes = {name: replace(node, audit=None) for name, node in nodes.items()}
    builder = Builder(ir, nodes, discoveries, parallelism, buckets or {})
    notes: list[str] = []
    for node in ir.nodes:
        if isinstance(node, TargetNode) and node.id in logical.nodes:
            builder.reach(node.id)
            notes += _notes(node, logical.nodes[node.id])
    notes += [note for node in ir.nodes if node.id in logical.nodes for note in logical.nodes[node.id].notes]
    builder.reach_audits()
    stages = tuple(builder.stages)
    if push_down:
        sure = {node: found.sure for node, found in discoveries.items()}
        stages = bounded(projected(stages, sure))
    return PhysicalPlan(stages, tuple(notes), tuple(builder.audits))


def _notes(node: TargetNode, target: LogicalNode) -> Iterator[str]:
    if target.left_out:
        rows = "rows with a value there are skipped" if node.schema_contract == "discard_row" else "not loaded"
        yield f"{node.table} has no column for {', '.join(target.left_out)}: {rows}"
    if target.added:
        columns = ", ".join(f"{field.name} {field.data_type}" for field in target.added)
        yield f"{node.table} gets the column{'s' * (len(target.added) > 1)} {columns}"
