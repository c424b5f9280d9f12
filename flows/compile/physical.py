"""The physical plan: stages of fused steps, from a source or a shuffle to sinks, cut into partitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from headrace.connectors.source import Discovery, Partition
from headrace.flows.compile.dataset_rules.base import NodeAudit
from headrace.flows.compile.logical_node import LogicalNode, LogicalPlan
from headrace.flows.compile.push_down.predicates import bounded
from headrace.flows.compile.push_down.projection import projected
from headrace.flows.compile.shuffle import bucket_count
from headrace.flows.compile.source_cells import with_source_cells
from headrace.flows.compile.stages.builder import Builder
from headrace.flows.compile.stages.open_targets import OpenTargets, ways
from headrace.flows.compile.stages.stage import Load, Stage
from headrace.flows.compile.target.api_columns import api_target_problems
from headrace.flows.compile.target.key_columns import missing_keys, missing_watermarks
from headrace.ir import PipelineIR, Problem
from headrace.ir.nodes import TargetNode


@dataclass(frozen=True, slots=True)
class PhysicalPlan:
    """The stages in the order they run. `notes` are remarks for the run's log, such as columns that are not loaded;
    `audits` are the dataset rules to check before held back rows become visible."""

    stages: tuple[Stage, ...]
    notes: tuple[str, ...]
    audits: tuple[NodeAudit, ...] = ()

    @property
    def loads(self) -> tuple[Load, ...]:
        """All targets, in the order of their numbers."""
        return tuple(sorted((load for stage in self.stages for load in stage.loads), key=lambda load: load.number))

    @property
    def total_rows(self) -> int:
        """Rows that the sources have, or about so many where one is not counted."""
        return sum(stage.rows for stage in self.stages if stage.source is not None)

    @property
    def counted(self) -> bool:
        """Whether `total_rows` is more than an estimate."""
        return all(stage.counted for stage in self.stages if stage.source is not None)

    @property
    def balanced(self) -> bool:
        """Whether every source row ends exactly once: loaded, failed or skipped."""
        return all(
            (stage.exchange is None or stage.exchange.shuffle.keeps_rows)
            and not any(node_chain.forks for node_chain in stage.trunk)
            and all(step.copies == 1 for segment in stage.segments for step in segment.steps)
            for stage in self._onward
        )

    @property
    def entangling(self) -> str | None:
        """The first node that combines rows or makes several of one; None where each row is processed independently, so
        that a failed row can be run again alone."""
        for stage in self._onward:
            if stage.exchange is not None:
                return stage.exchange.node
            for segment in stage.segments:
                if segment.steps[-1].copies > 1:
                    return segment.steps[-1].node
        return None

    @property
    def ways(self) -> list[OpenTargets]:
        """By stage: for each node, the targets that a row that fails there can still reach; empty without forks."""
        forked = (any(node_chain.forks for node_chain in stage.trunk) for stage in self.stages)
        return [ways(stage.trunk) if forks else {} for stage, forks in zip(self.stages, forked, strict=True)]

    @property
    def _onward(self) -> Iterator[Stage]:
        """The stages that lead to a target, and do not only measure."""
        return (stage for stage in self.stages if not stage.audits)

    @property
    def rebuilt(self) -> frozenset[str]:
        """Nodes whose output rows are not their input rows: their counts need not balance."""
        gathered = {
            stage.exchange.node
            for stage in self._onward
            if stage.exchange is not None and not stage.exchange.shuffle.keeps_rows
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
        """The plan as JSON: stored with the run, shown over REST, compared in tests."""
        from headrace.flows.compile.stages.describe import described

        return {"stages": [described(stage) for stage in self.stages], "notes": list(self.notes)}


def shape_problems(ir: PipelineIR) -> list[Problem]:
    """Problems of a well-formed document that cannot run."""
    return [*missing_watermarks(ir), *missing_keys(ir), *api_target_problems(ir)]


def physical_plan(
    ir: PipelineIR,
    logical: LogicalPlan,
    discoveries: Mapping[str, Discovery],
    *,
    parallelism: int = 4,
    buckets: Mapping[str, int] | None = None,
    push_down: bool = True,
    audits: bool = True,
    remarks: Sequence[str] = (),
) -> PhysicalPlan:
    """Builds the stages of a logical plan without problems.

    `discoveries` must have every source. Nodes that lead to no target with known columns are left out. `buckets` are
    the bucket counts of an earlier attempt, by shuffle; others get enough for their rows and for `parallelism`
    partitions at a time. `push_down`: sources are asked only for the columns and rows that the plan uses; the result is
    the same. `audits`: whether dataset rules are checked; they are not when only some rows run again. `remarks` are
    notes about the sources."""
    nodes: Mapping[str, LogicalNode] = with_source_cells(logical.nodes)
    if not audits:
        nodes = {name: replace(node, audit=None) for name, node in nodes.items()}
    builder = Builder(ir, nodes, discoveries)
    notes: list[str] = [*remarks]
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
    # after the projection: only what is sent takes room in a bucket
    stages = tuple(_spread(stage, parallelism, buckets or {}) for stage in stages)
    return PhysicalPlan(stages, tuple(notes), tuple(builder.audits))


def _spread(stage: Stage, parallelism: int, buckets: Mapping[str, int]) -> Stage:
    """The stage with its buckets as partitions, if it gathers rows."""
    if (exchange := stage.exchange) is None:
        return stage
    many = buckets.get(exchange.id) or bucket_count(exchange.shuffle, exchange.sent, parallelism)
    return replace(stage, partitions=tuple(Partition(bucket, 1, 0, {"bucket": bucket}) for bucket in range(many)))


def _notes(node: TargetNode, target: LogicalNode) -> Iterator[str]:
    if target.left_out:
        rows = "rows with a value there are skipped" if node.schema_contract == "discard_row" else "not loaded"
        if node.connector is not None and node.schema_contract != "discard_row":
            rows = "not sent"
        yield f"{node.table} has no column for {', '.join(target.left_out)}: {rows}"
    if target.added:
        columns = ", ".join(f"{field.name} {field.data_type}" for field in target.added)
        yield f"{node.table} gets the column{'s' * (len(target.added) > 1)} {columns}"
