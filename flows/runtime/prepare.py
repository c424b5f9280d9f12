"""Planning a run: parse the pinned IR, look at the sources and the tables, compile. Reads no rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import polars as pl

from connectors.base import Discovery, Partition, Source, SourceError, TargetError
from connectors.files.arrivals import Arrivals, AwaitsFiles, Held
from connectors.postgresql.encode import taken_as_is
from connectors.postgresql.modes import MODES, Append, LoadMode, LoadSpec, RetryPolicy
from connectors.postgresql.modes.append_held import AppendHeld
from connectors.postgresql.modes.keyed import Keyed
from connectors.postgresql.modes.scd2 import HISTORY, VALID_FROM
from connectors.postgresql.tables import Table, describe_table
from connectors.registry import source_for
from flows.compile import Load, PhysicalPlan, Stage, TargetColumn, logical_plan, physical_plan, shape_problems
from flows.compile.ways import ways
from flows.enrich import Outside
from flows.resume import not_replayed
from flows.runtime.hooks.check import hook_problems
from flows.runtime.job import ExecutionConfig, Job, Prepared
from flows.runtime.limits import RunFailed
from flows.runtime.references import ReferenceTables
from flows.runtime.replay import Replay, only
from ir import PipelineIR, Problem, parse_ir
from ir.nodes import SourceNode, TargetNode, producer
from ir.parameters import fill_in
from ir.schema import Field

PARTITIONS_PER_WORKER = 2
"""More partitions than workers, so that one slow partition does not keep the others waiting at the end."""


NOWHERE = (
    "The failed rows have nowhere to go: the targets that they were on their way to are not in the pipeline any more, "
    "and with the others they are done."
)


class PlanFailed(RunFailed):
    """The pipeline cannot be planned; `problems` says everything that stands in the way."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(_sentence(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[Any, ...]:
        """It may come back from another process."""
        return type(self), (self.problems,)


class SourceChanged(RunFailed):
    """A resumed run meets another source than the one it began with."""


def prepare(job: Job, *, under_way: bool = False) -> Prepared:
    """Plans the run. Where it continues an earlier one that stored its plan (`stored_plan`), the partitions of that are
    used again, because the ledger counts by them. `under_way`: the run is another process's, which looked at the
    sources; they are taken to be as it found them when they have not changed since.

    Raises PlanFailed, SourceChanged, SourceError or TargetError, all with texts for people.
    """
    ir = parsed(job)
    execution = ExecutionConfig.of(job.pipeline.execution_config)
    sources: dict[str, Source] = {node.id: source_of(node, job) for node in ir.nodes if isinstance(node, SourceNode)}
    discoveries = {
        node: _as_found(node, source, job)
        if under_way
        else source.discover(max_partitions=execution.parallelism * PARTITIONS_PER_WORKER)
        for node, source in sources.items()
    }
    if (earlier := job.continues.earlier_plan) is not None:
        discoveries = {node: _as_before(node, found, earlier) for node, found in discoveries.items()}
    if job.continues.replays:
        for node in {node for node, _ in job.continues.open_rows or ()} - discoveries.keys():
            raise RunFailed(f"Failed rows are of the source '{node}', which is not in the pipeline any more.")
        discoveries = {node: _open_only(node, found, job, ir) for node, found in discoveries.items()}
        sources = {
            node: Replay(source, left_out=_left_out(node, discoveries[node], job)) for node, source in sources.items()
        }
    targets = {node.id: _columns(node, job) for node in ir.nodes if isinstance(node, TargetNode)}
    schemas = {node: found.schema for node, found in discoveries.items() if found.schema}
    secrets = job.pipeline.connector.credentials
    outside = Outside(job.networks)
    logical = logical_plan(ir, schemas, targets, secrets=secrets, tables=ReferenceTables(job), outside=outside)
    problems = [*logical.problems, *hook_problems(ir, job.pipeline.tables, job.pipeline.connector.credentials)]
    if problems:
        raise PlanFailed(problems)
    earlier_buckets = _buckets(job.continues.earlier_plan)
    plan = physical_plan(
        ir,
        logical,
        discoveries,
        parallelism=execution.parallelism,
        buckets=earlier_buckets,
        audits=not job.continues.replays,
    )
    if job.continues.replays and plan.entangling is not None:
        raise RunFailed(not_replayed(plan.entangling))
    if job.continues.open_rows and not plan.total_rows:
        raise RunFailed(NOWHERE)
    retry = RetryPolicy(attempts=ir.error_handling.retry.max_attempts)
    gathered: dict[int, dict[int, int]] = {stage.index: {} for stage in plan.stages if stage.gathering is not None}
    modes = {
        load.target.id: _mode(plan.stages[load.stage], load, job, retry, gathered.get(load.stage))
        for load in plan.loads
    }
    if problems := list(_unfit(ir, modes)):
        raise PlanFailed(problems)
    return Prepared(job, ir, plan, execution, sources, discoveries, modes, gathered, outside)


def check_sources(job: Job) -> None:
    """Raises RunFailed when a source is not as the plan that is continued met it, or its files were put aside because
    they cannot be read. Reads no rows."""
    earlier = job.continues.earlier_plan
    for node in parsed(job).nodes:
        if isinstance(node, SourceNode):
            try:
                source = source_of(node, job)
                if isinstance(source, AwaitsFiles) and (held := held_before(source.arrivals, node.id, job)) is not None:
                    source.hold(held)
                if earlier is not None:
                    _check_unchanged(node.id, source.fingerprint(), earlier)
            except SourceError as error:
                raise RunFailed(str(error)) from None


def stored_plan(prepared: Prepared) -> dict[str, Any]:
    """What is stored with the run: the readable plan, and the partitions as a later attempt needs them."""
    partitions = {
        node: [[p.first_row, p.rows, dict(p.location)] for p in found.partitions]
        for node, found in prepared.discoveries.items()
    }
    gathered = {stage.gathering.id: len(stage.partitions) for stage in prepared.plan.stages if stage.gathering}
    quarantines = sorted({table for stage in prepared.plan.stages for table in stage.quarantine.values()})
    claims = {node: held.record for node, held in prepared.job.held.items() if held.record is not None}
    return {
        **prepared.plan.describe(),
        "fingerprints": prepared.fingerprints,
        "schemas": {node: [asdict(field) for field in found.schema] for node, found in prepared.discoveries.items()},
        "sure": {node: sorted(found.sure) for node, found in prepared.discoveries.items()},
        "partitions": partitions,
        **({"claims": claims} if claims else {}),
        **({"quarantines": quarantines} if quarantines else {}),
        **_replayable(prepared.plan),
        **({"buckets": gathered, "engine": pl.__version__} if gathered else {}),
    }


def _replayable(plan: PhysicalPlan) -> dict[str, Any]:
    """What a retry for the failed rows alone has to know."""
    if plan.entangling is not None:
        return {"whole": False, "entangling": plan.entangling}
    return {"ways": plan.ways} if any(plan.ways) else {}


def parsed(job: Job) -> PipelineIR:
    """The pinned document with its parameters filled in. Raises PlanFailed."""
    document, unfilled = fill_in(job.pipeline.ir, job.parameters)
    result = parse_ir(document)
    if result.ir is None:
        raise PlanFailed(result.problems)
    if unfilled:
        raise PlanFailed(unfilled)
    if problems := shape_problems(result.ir):
        raise PlanFailed(problems)
    return result.ir


def source_of(node: SourceNode, job: Job) -> Source:
    """The source of a node; it reads the files the run holds, where it holds some. Raises SourceError."""
    source = source_for(
        node.connector,
        node.config,
        fields=node.declared,
        files_root=job.files_root,
        connection={**job.pipeline.connector.config, **job.pipeline.connector.credentials},
    )
    if isinstance(source, AwaitsFiles) and (held := job.held.get(node.id)) is not None:
        source.hold(held)
    return source


def owner_of(job: Job, node: str) -> str:
    """Whose the files of a source are: the first run's of the chain, so that a retry and a replay find them."""
    return f"{job.continues.first}/{node}"


def held_before(arrivals: Arrivals, node: str, job: Job) -> Held | None:
    """The files that earlier runs of the chain took for a source; None when they took none. Raises SourceError."""
    earlier = job.continues.earlier_plan
    record = (earlier or {}).get("claims", {}).get(node)
    return arrivals.located(owner_of(job, node), record=record, whole=earlier is not None)


def _as_found(node: str, source: Source, job: Job) -> Discovery:
    """The source as the process that planned the run found it; it is not read again for that."""
    plan = job.continues.earlier_plan
    assert plan is not None, "a run under way has stored its plan"
    schema = tuple(Field(**field) for field in plan["schemas"][node])
    total, sure = sum(rows for _, rows, _ in plan["partitions"][node]), frozenset(plan.get("sure", {}).get(node, ()))
    return Discovery(schema, (), total, source.fingerprint(), sure)


def _as_before(node: str, found: Discovery, earlier: Mapping[str, Any]) -> Discovery:
    _check_unchanged(node, found.fingerprint, earlier)
    partitions = [
        Partition(index, first_row, rows, location)
        for index, (first_row, rows, location) in enumerate(earlier["partitions"][node])
    ]
    return replace(found, partitions=partitions)


def _check_unchanged(node: str, fingerprint: str, earlier: Mapping[str, Any]) -> None:
    if earlier.get("fingerprints", {}).get(node) != fingerprint:
        raise SourceChanged(
            f"The source '{node}' changed since this run began, so it cannot be continued. "
            "Start a new run; rows that are in the table already stay there."
        )


def _columns(node: TargetNode, job: Job) -> list[TargetColumn]:
    if node.table not in job.pipeline.tables:
        raise TargetError(
            "table_not_found",
            f"'{node.table}' is not a table of one of your schemas.",
            f"Use one of {', '.join(sorted(job.pipeline.tables)[:10])}, or create a schema first.",
        )
    table = describe_table(job.database_url, node.table)
    columns = target_columns(table)
    return columns if node.load_mode != "scd2" else [_of_history(column) for column in columns]


def _of_history(column: TargetColumn) -> TargetColumn:
    """A column of a table that keeps a history: the load fills those of the history itself."""
    name = column.field.name
    if name not in HISTORY:
        return column
    return replace(column, required=False, writable=column.writable and name == VALID_FROM)


def target_columns(table: Table) -> list[TargetColumn]:
    """The table's columns as the compiler needs them."""
    return [
        TargetColumn(
            column.field,
            required=column.required,
            writable=column.writable,
            takes=partial(taken_as_is, column),
        )
        for column in table.columns
    ]


def _open_only(node: str, found: Discovery, job: Job, ir: PipelineIR) -> Discovery:
    """The source's failed rows. A replay that is begun again has them in its stored partitions already."""
    if job.continues.open_rows is None:
        return found
    targets = {
        target.id: target.table
        for target in ir.nodes
        if isinstance(target, TargetNode) and _source_of(ir, target.id) == node
    }
    return only(found, {index: rows for (of, index), rows in job.continues.open_rows.items() if of == node}, targets)


def _left_out(node: str, found: Discovery, job: Job) -> int:
    """How many of the source's failed rows have no way to a target in this version."""
    asked = job.continues.open_rows
    if asked is None:
        return 0
    return sum(len(left.rows) for (of, _), left in asked.items() if of == node) - found.total_rows


def _source_of(ir: PipelineIR, node: str) -> str:
    while inputs := ir.node(node).inputs:
        node = producer(inputs[0])
    return node


def _buckets(earlier: Mapping[str, Any] | None) -> Mapping[str, int]:
    """How many buckets each gathering has, where an earlier attempt began with them. Raises SourceChanged when rows
    would not be spread over them as before."""
    buckets: Mapping[str, int] = (earlier or {}).get("buckets", {})
    if buckets and (earlier or {}).get("engine") != pl.__version__:
        raise SourceChanged(
            "Headrace was upgraded since this run began and would spread its rows in another way, so it cannot be "
            "continued. Start a new run; rows that are in the table already stay there."
        )
    return buckets


def _mode(stage: Stage, load: Load, job: Job, retry: RetryPolicy, gathered: Mapping[int, int] | None) -> LoadMode:
    """`gathered` will have the rows of a stage whose rows are not known yet."""
    spec = LoadSpec(
        database_url=job.database_url,
        table=load.target.table,
        columns=load.columns,
        root_run_id=job.root_run_id,
        run_id=job.run_id,
        pipeline_id=job.pipeline.id,
        ir_version=job.pipeline.ir_version,
        target_node=load.target.id,
        origin_run_id=job.continues.origin_run_id,
        quarantine_tables=tuple(sorted(set(stage.quarantine.values()))),
        quarantining_elsewhere=_elsewhere(stage, load),
        planned_rows=stage.rows if stage.gathering is None else stage.gathering.rows,
        staged_rows=stage.rows if gathered is None else lambda: sum(gathered.values()),
        upsert_key=load.target.upsert_key,
        watermark_column=load.target.watermark_column,
        retry=retry,
    )
    mode = MODES[load.target.load_mode]
    if load.audited and mode is Append:
        mode = AppendHeld
    if job.continues.replays and not mode.resumable:
        # What the run published stays: its failed rows are added to it, the table is not replaced by them.
        mode = Append
    return mode(spec)


def _elsewhere(stage: Stage, load: Load) -> tuple[str, ...]:
    """The nodes with quarantine on ways that do not end at the target: what they keep of a row is not its business."""
    found = ways(stage.trunk)
    return tuple(node for node in stage.quarantine if load.id not in found[node])


def _unfit(ir: PipelineIR, modes: Mapping[str, LoadMode]) -> Iterator[Problem]:
    """Tables that rows cannot be merged into, said where the document names the key."""
    for position, node in enumerate(ir.nodes):
        mode = modes.get(node.id)
        if isinstance(mode, Keyed):
            try:
                mode.examine()
            except TargetError as error:
                yield Problem(f"nodes[{position}].upsertKey", error.code, error.message, error.hint)


def _sentence(problem: Problem) -> str:
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"{problem.path}: {problem.message}{hint}"
