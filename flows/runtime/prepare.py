"""Planning a run: parse the pinned IR, look at the sources and the tables, compile. Reads no rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from connectors.base import Discovery, Partition, Source, SourceError, TargetError
from connectors.postgresql.modes import MODES, LoadMode, LoadSpec, RetryPolicy
from connectors.postgresql.tables import describe_table
from connectors.registry import source_for
from flows.compile import Stage, TargetColumn, logical_plan, physical_plan, shape_problems
from flows.runtime.job import ExecutionConfig, Job, Prepared
from flows.runtime.limits import RunFailed
from flows.runtime.replay import Replay, only
from ir import PipelineIR, Problem, parse_ir
from ir.nodes import SourceNode, TargetNode
from ir.parameters import fill_in

PARTITIONS_PER_WORKER = 2
"""More partitions than workers, so that one slow partition does not keep the others waiting at the end."""


class PlanFailed(RunFailed):
    """The pipeline cannot be planned; `problems` says everything that stands in the way."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(_sentence(problem) for problem in self.problems))


class SourceChanged(RunFailed):
    """A resumed run meets another source than the one it began with."""


def prepare(job: Job) -> Prepared:
    """Plans the run. Where it continues an earlier one that stored its plan (`stored_plan`), the partitions of that are
    used again, because the ledger counts by them.

    Raises PlanFailed, SourceChanged, SourceError or TargetError, all with texts for people.
    """
    ir = _parsed(job)
    execution = ExecutionConfig.of(job.pipeline.execution_config)
    sources: dict[str, Source] = {node.id: _source(node, job) for node in ir.nodes if isinstance(node, SourceNode)}
    discoveries = {
        node: source.discover(max_partitions=execution.parallelism * PARTITIONS_PER_WORKER)
        for node, source in sources.items()
    }
    if (earlier := job.continues.earlier_plan) is not None:
        discoveries = {node: _as_before(node, found, earlier) for node, found in discoveries.items()}
    if job.continues.replays:
        sources = {node: Replay(source) for node, source in sources.items()}
        discoveries = {node: _open_only(node, found, job, ir) for node, found in discoveries.items()}
    targets = {node.id: _columns(node, job) for node in ir.nodes if isinstance(node, TargetNode)}
    logical = logical_plan(ir, {node: found.schema for node, found in discoveries.items() if found.schema}, targets)
    if logical.problems:
        raise PlanFailed(logical.problems)
    plan = physical_plan(ir, logical, discoveries)
    retry = RetryPolicy(attempts=ir.error_handling.retry.max_attempts)
    modes = {stage.target.id: _mode(stage, job, retry) for stage in plan.stages}
    return Prepared(job, ir, plan, execution, sources, discoveries, modes)


def check_sources(job: Job) -> None:
    """Raises RunFailed when a source is not as the plan that is continued met it. Reads no rows."""
    earlier = job.continues.earlier_plan
    if earlier is None:
        return
    for node in _parsed(job).nodes:
        if isinstance(node, SourceNode):
            try:
                now = _source(node, job).fingerprint()
            except SourceError as error:
                raise RunFailed(str(error)) from None
            _check_unchanged(node.id, now, earlier)


def stored_plan(prepared: Prepared) -> dict[str, Any]:
    """What is stored with the run: the readable plan, and the partitions as a later attempt needs them."""
    partitions = {
        node: [[p.first_row, p.rows, dict(p.location)] for p in found.partitions]
        for node, found in prepared.discoveries.items()
    }
    return {**prepared.plan.describe(), "fingerprints": prepared.fingerprints, "partitions": partitions}


def _parsed(job: Job) -> PipelineIR:
    document, unfilled = fill_in(job.pipeline.ir, job.parameters)
    parsed = parse_ir(document)
    if parsed.ir is None:
        raise PlanFailed(parsed.problems)
    if unfilled:
        raise PlanFailed(unfilled)
    if problems := shape_problems(parsed.ir):
        raise PlanFailed(problems)
    return parsed.ir


def _source(node: SourceNode, job: Job) -> Source:
    return source_for(
        node.connector,
        node.config,
        fields=node.declared,
        files_root=job.files_root,
        connection={**job.pipeline.connector.config, **job.pipeline.connector.credentials},
    )


def _as_before(node: str, found: Discovery, earlier: Mapping[str, Any]) -> Discovery:
    _check_unchanged(node, found.fingerprint, earlier)
    partitions = [
        Partition(index, first_row, rows, location)
        for index, (first_row, rows, location) in enumerate(earlier["partitions"][node])
    ]
    return Discovery(found.schema, partitions, found.total_rows, found.fingerprint)


def _check_unchanged(node: str, fingerprint: str, earlier: Mapping[str, Any]) -> None:
    if earlier.get("fingerprints", {}).get(node) != fingerprint:
        raise SourceChanged(
            f"The source '{node}' changed since this run began, so it cannot be continued. "
            "Start a new run; rows that this one committed stay in the table."
        )


def _columns(node: TargetNode, job: Job) -> list[TargetColumn]:
    if node.table not in job.pipeline.tables:
        raise TargetError(
            "table_not_found",
            f"'{node.table}' is not a table of one of your schemas.",
            f"Use one of {', '.join(sorted(job.pipeline.tables)[:10])}, or create a schema first.",
        )
    table = describe_table(job.database_url, node.table)
    return [TargetColumn(column.field, required=column.required, writable=column.writable) for column in table.columns]


def _open_only(node: str, found: Discovery, job: Job, ir: PipelineIR) -> Discovery:
    """The source's failed rows. A replay that is begun again has them in its stored partitions already."""
    if job.continues.open_rows is None:
        return found
    chains = [stage for stage, target in enumerate(_targets(ir)) if _source_of(ir, target) == node]
    rows = {index: numbers for (stage, index), numbers in job.continues.open_rows.items() if stage in chains}
    return only(found, rows)


def _targets(ir: PipelineIR) -> list[str]:
    return [node.id for node in ir.nodes if isinstance(node, TargetNode)]


def _source_of(ir: PipelineIR, node: str) -> str:
    while inputs := ir.node(node).inputs:
        node = inputs[0]
    return node


def _mode(stage: Stage, job: Job, retry: RetryPolicy) -> LoadMode:
    spec = LoadSpec(
        database_url=job.database_url,
        table=stage.target.table,
        columns=stage.columns,
        root_run_id=job.root_run_id,
        run_id=job.run_id,
        pipeline_id=job.pipeline.id,
        ir_version=job.pipeline.ir_version,
        target_node=stage.target.id,
        origin_run_id=job.continues.origin_run_id,
        quarantine_tables=tuple(sorted(set(stage.quarantine.values()))),
        retry=retry,
    )
    return MODES[stage.target.load_mode](spec)


def _sentence(problem: Problem) -> str:
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"{problem.path}: {problem.message}{hint}"
