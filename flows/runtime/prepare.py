"""Planning a run: parse the pinned IR, look at the sources and the tables, compile. Reads no rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from connectors.base import Discovery, Partition, Source, TargetError
from connectors.postgresql.modes import MODES, LoadMode, LoadSpec, RetryPolicy
from connectors.postgresql.tables import describe_table
from connectors.registry import source_for
from flows.compile import TargetColumn, logical_plan, physical_plan, shape_problems
from flows.runtime.job import ExecutionConfig, Job, Prepared
from flows.runtime.limits import RunFailed
from ir import PipelineIR, Problem, parse_ir
from ir.nodes import SourceNode, TargetNode

PARTITIONS_PER_WORKER = 2
"""More partitions than workers, so that one slow partition does not keep the others waiting at the end."""


class PlanFailed(RunFailed):
    """The pipeline cannot be planned; `problems` says everything that stands in the way."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(_sentence(problem) for problem in self.problems))


class SourceChanged(RunFailed):
    """A resumed run meets another source than the one it began with."""


def prepare(job: Job, earlier_plan: Mapping[str, Any] | None = None) -> Prepared:
    """Plans the run. `earlier_plan` is what an earlier attempt stored (`stored_plan`): its partitions are used again,
    because the ledger counts by them.

    Raises PlanFailed, SourceChanged, SourceError or TargetError, all with texts for people.
    """
    ir = _parsed(job)
    execution = ExecutionConfig.of(job.pipeline.execution_config)
    sources = {node.id: _source(node, job) for node in ir.nodes if isinstance(node, SourceNode)}
    discoveries = {
        node: source.discover(max_partitions=execution.parallelism * PARTITIONS_PER_WORKER)
        for node, source in sources.items()
    }
    if earlier_plan is not None:
        discoveries = {node: _as_before(node, found, earlier_plan) for node, found in discoveries.items()}
    targets = {node.id: _columns(node, job) for node in ir.nodes if isinstance(node, TargetNode)}
    logical = logical_plan(ir, {node: found.schema for node, found in discoveries.items()}, targets)
    if logical.problems:
        raise PlanFailed(logical.problems)
    plan = physical_plan(ir, logical, discoveries)
    retry = RetryPolicy(attempts=ir.error_handling.retry.max_attempts)
    modes = {stage.target.id: _mode(stage.target, stage.columns, job, retry) for stage in plan.stages}
    return Prepared(job, ir, plan, execution, sources, discoveries, modes)


def stored_plan(prepared: Prepared) -> dict[str, Any]:
    """What is stored with the run: the readable plan, and the partitions as a later attempt needs them."""
    partitions = {
        node: [[p.first_row, p.rows, dict(p.location)] for p in found.partitions]
        for node, found in prepared.discoveries.items()
    }
    return {**prepared.plan.describe(), "fingerprints": prepared.fingerprints, "partitions": partitions}


def _parsed(job: Job) -> PipelineIR:
    parsed = parse_ir(job.pipeline.ir)
    if parsed.ir is None:
        raise PlanFailed(parsed.problems)
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
    if earlier.get("fingerprints", {}).get(node) != found.fingerprint:
        raise SourceChanged(
            f"The source '{node}' changed since this run began, so it cannot be continued. "
            "Start a new run; rows that this one committed stay in the table."
        )
    partitions = [
        Partition(index, first_row, rows, location)
        for index, (first_row, rows, location) in enumerate(earlier["partitions"][node])
    ]
    return Discovery(found.schema, partitions, found.total_rows, found.fingerprint)


def _columns(node: TargetNode, job: Job) -> list[TargetColumn]:
    if node.table not in job.pipeline.tables:
        raise TargetError(
            "table_not_found",
            f"'{node.table}' is not a table of one of your schemas.",
            f"Use one of {', '.join(sorted(job.pipeline.tables)[:10])}, or create a schema first.",
        )
    table = describe_table(job.database_url, node.table)
    return [TargetColumn(column.field, required=column.required, writable=column.writable) for column in table.columns]


def _mode(node: TargetNode, columns: tuple[str, ...], job: Job, retry: RetryPolicy) -> LoadMode:
    spec = LoadSpec(
        database_url=job.database_url,
        table=node.table,
        columns=columns,
        root_run_id=job.root_run_id,
        run_id=job.run_id,
        pipeline_id=job.pipeline.id,
        ir_version=job.pipeline.ir_version,
        target_node=node.id,
        retry=retry,
    )
    return MODES[node.load_mode](spec)


def _sentence(problem: Problem) -> str:
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"{problem.path}: {problem.message}{hint}"
