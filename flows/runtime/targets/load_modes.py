"""The targets of a plan: the columns that their tables take, and the load mode of each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial

from headrace.connectors.errors import TargetError
from headrace.connectors.http.target.mode import ApiLoad
from headrace.connectors.postgresql.copy.encode import accepts_as_is
from headrace.connectors.postgresql.cursors import Cursor
from headrace.connectors.postgresql.modes import MODES, Append, LoadMode, LoadSpec, RetryPolicy
from headrace.connectors.postgresql.modes.append import StagedAppend
from headrace.connectors.postgresql.modes.merge_mode import MergeMode
from headrace.connectors.postgresql.modes.scd2 import HISTORY, VALID_FROM, Scd2OfEvents
from headrace.connectors.postgresql.tables.describe import Table, describe_table
from headrace.flows.compile import Load, PhysicalPlan, Stage, TargetColumn
from headrace.flows.compile.stages.open_targets import ways
from headrace.flows.compile.target.api_columns import api_columns
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.targets.apis import api_target
from headrace.ir import PipelineIR, Problem
from headrace.ir.nodes import TargetNode


def unknown_table(table: str, known: Collection[str]) -> TargetError:
    """The message about a target that is not one of the tenant's tables."""
    return TargetError(
        "table_not_found",
        f"'{table}' is not a table of one of your schemas.",
        f"Use one of {', '.join(sorted(known)[:10])}, or create a schema first.",
    )


def columns_for(node: TargetNode, table: Table) -> list[TargetColumn]:
    """The table's columns as a target loads them."""
    columns = target_columns(table)
    return columns if not node.traits.history else [_of_history(column) for column in columns]


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
            takes=partial(accepts_as_is, column),
            automatic=column.automatic,
            native=column.sql_type,
        )
        for column in table.columns
    ]


def table_columns(node: TargetNode, job: Job) -> list[TargetColumn]:
    if node.connector is not None:
        return api_columns(node)
    if node.connection is None and node.table not in job.pipeline.tables:
        raise unknown_table(node.table, job.pipeline.tables)
    return columns_for(node, describe_table(job.database_of(node.id), node.table))


def load_spec_of(
    plan: PhysicalPlan, load: Load, job: Job, retry: RetryPolicy, gathered: Mapping[int, int] | None
) -> LoadSpec:
    """`gathered` will have the rows of a stage whose rows are not known yet."""
    stage = plan.stages[load.stage]
    return LoadSpec(
        database_url=job.database_of(load.target.id),
        table=load.target.table,
        columns=load.columns,
        root_run_id=job.root_run_id,
        run_id=job.run_id,
        pipeline_id=job.pipeline.id,
        ir_version=job.pipeline.ir_version,
        target_node=load.target.id,
        origin_run_id=job.continues.origin_run_id,
        epoch_key=None if job.epoch is None else job.load_key,
        quarantine_tables=tuple(sorted(set(stage.quarantine.values()))),
        quarantining_elsewhere=_elsewhere(stage, load),
        planned_rows=stage.rows if stage.exchange is None else stage.exchange.rows,
        staged_rows=stage.rows if gathered is None else lambda: sum(gathered.values()),
        upsert_key=load.target.upsert_key,
        watermark_column=load.target.watermark_column,
        allow_empty=load.target.allow_empty,
        retry=retry,
        cursors=() if job.continues.replays else tuple(_cursors(plan, stage, load)),
        passed={} if stage.passed is None else dict(zip(load.columns, stage.passed.types, strict=True)),
    )


def load_mode_of(plan: PhysicalPlan, load: Load, job: Job, spec: LoadSpec) -> LoadMode:
    """The load mode of a target, for `load_spec_of` it. Raises TargetError for an API that cannot be used."""
    if load.target.connector is not None:
        changed_only = load.target.load_mode == "upsert"
        return ApiLoad(spec, api_target(load.target, job), changed_only=changed_only, apart=_apart(plan, load, job))
    return mode_class(plan, load, job)(spec)


def mode_class(plan: PhysicalPlan, load: Load, job: Job) -> type[LoadMode]:
    """The load mode, as the run needs it."""
    if load.target.connector is not None:
        return ApiLoad
    mode = MODES[load.target.load_mode]
    if load.target.events and load.target.traits.history:
        mode = Scd2OfEvents
    if (load.audited or _apart(plan, load, job)) and mode is Append:
        mode = StagedAppend
    if job.continues.replays and not mode.resumable:
        # Published rows stay: failed rows are added to them and do not replace the table.
        mode = Append
    return mode


def _apart(plan: PhysicalPlan, load: Load, job: Job) -> bool:
    """Whether cursors move apart from the batches. A cursor moves with the rows it has passed. Where they come by
    another stage, or go to several targets batch by batch, that is when all of them are published."""
    stage = plan.stages[load.stage]
    cursors = () if job.continues.replays else tuple(_cursors(plan, stage, load))
    return bool(cursors) and (len(stage.sinks) > 1 or any(cursor.stage != load.stage for cursor in cursors))


def _cursors(plan: PhysicalPlan, stage: Stage, load: Load) -> Iterator[Cursor]:
    """The cursors of the sources that rows of a load come from."""
    pending, seen = [stage], {stage.index}
    while pending:
        before = pending.pop()
        if before.source is not None:
            sink = load.target.id if before is stage else before.sinks[0].id
            for partition in before.partitions:
                if partition.cursor is not None:
                    yield Cursor(before.source.id, partition.cursor, before.index, partition.index, sink)
        pending += [plan.stages[index] for index in before.after if index not in seen]
        seen.update(before.after)


def _elsewhere(stage: Stage, load: Load) -> tuple[str, ...]:
    """The nodes with quarantine on ways that do not end at the target: what they keep of a row is not its business."""
    found = ways(stage.trunk)
    return tuple(node for node in stage.quarantine if load.id not in found[node])


def unfit_keys(ir: PipelineIR, modes: Mapping[str, LoadMode]) -> Iterator[Problem]:
    """Problems of tables that rows cannot be merged into, at the key's place in the document."""
    for position, node in enumerate(ir.nodes):
        mode = modes.get(node.id)
        if isinstance(mode, MergeMode):
            try:
                mode.examine()
            except TargetError as error:
                yield Problem(f"nodes[{position}].upsertKey", error.code, error.message, error.hint)
