"""Which stages pass rows on as they are: those where source, target and everything in between allow it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from headrace.connectors.source import Discovery, Passed, Passing, Source
from headrace.flows.compile import PhysicalPlan, Stage, TargetColumn
from headrace.flows.compile.pass_through import unchanged_columns
from headrace.flows.compile.stages.stage import PassedThrough
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.targets.load_modes import mode_class


def passed_through(
    plan: PhysicalPlan,
    job: Job,
    sources: Mapping[str, Source],
    discoveries: Mapping[str, Discovery],
    targets: Mapping[str, Sequence[TargetColumn]],
) -> PhysicalPlan:
    """The plan with `passed` set on such stages. The rows of a partition, their numbers and their positions are the
    same either way, so that a retry may go on in the other one. Raises SourceError."""
    if job.continues.replays:
        return plan
    return replace(
        plan,
        stages=tuple(
            replace(stage, passed=_passed(plan, stage, job, sources, discoveries, targets)) for stage in plan.stages
        ),
    )


def _passed(
    plan: PhysicalPlan,
    stage: Stage,
    job: Job,
    sources: Mapping[str, Source],
    discoveries: Mapping[str, Discovery],
    targets: Mapping[str, Sequence[TargetColumn]],
) -> PassedThrough | None:
    columns = unchanged_columns(stage)
    if columns is None or stage.source is None or not stage.partitions:
        return None
    (load,), source, node = stage.loads, sources[stage.source.id], stage.source.id
    beside = mode_class(plan, load, job).beside
    if not beside or not isinstance(source, Passing):
        return None
    can = source.passable(replace(discoveries[node], partitions=stage.partitions))
    there = {column.field.name: column.native for column in targets.get(load.target.id, ())}
    same = all(can.types.get(given) == there.get(name, "") for name, given in columns.items())
    if not can.types or not same or not can.needed <= set(columns.values()):
        return None
    return PassedThrough(Passed(tuple(columns.values()), beside), tuple(there[name] for name in columns))
