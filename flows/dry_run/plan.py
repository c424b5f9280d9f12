"""What a run would do: its stages, the SQL of its loads, what it would change in the database.

Nothing is written, and no row is loaded; sources are inspected as a run inspects them before it begins.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl
from psycopg import sql

from headrace.catalog.runs.records import RunPipeline
from headrace.connectors.datatypes import field_of_polars, sql_type
from headrace.connectors.errors import SourceError, TargetError
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.network.egress import Network
from headrace.connectors.postgresql.connections import Database, connect, key_of
from headrace.connectors.postgresql.modes import LoadMode
from headrace.connectors.postgresql.named_database import NamedDatabase
from headrace.connectors.postgresql.tables.describe import LOAD_ID, describe_table, split_name
from headrace.connectors.source import ROW, Discovery
from headrace.flows.compile import Load, ReferenceTable, Stage, logical_plan
from headrace.flows.compile.stages.stage import ShuffleWrite
from headrace.flows.compile.target.lost_columns import LastRun
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.deletes.comparison import Comparison
from headrace.flows.runtime.errors import PlanFailed
from headrace.flows.runtime.job import PLAN_RUN_ID, Job, Prepared, finish_copies
from headrace.flows.runtime.prepare import prepare
from headrace.ir import PipelineIR, Problem
from headrace.ir.load_modes import LoadModeName
from headrace.ir.nodes import SourceNode
from headrace.ir.parameters import ParameterValue
from headrace.ir.schema import Schema

__all__ = ["PlanFailed", "RunPlan", "TargetPlan", "known_columns", "plan_run", "planned", "preview_job"]

"""A placeholder for a run's id; nothing is ever stored under it."""

_ENGINE_TABLES = ("_headrace.ledger", "_headrace.staging_ledger", "_headrace.loads")


TableAction = Literal["add column", "create table"]


@dataclass(frozen=True, slots=True)
class TableChange:
    """What a run would change in the target database before it loads."""

    table: str
    action: TableAction
    statement: str | None
    """None for the engine's own tables."""


@dataclass(frozen=True, slots=True)
class TargetPlan:
    """How one target is loaded; `sql` is for people: the steps as comments, then the statements (nothing
    without a database)."""

    node: str
    table: str
    load_mode: LoadModeName
    columns: tuple[str, ...]
    sql: str


@dataclass(frozen=True, slots=True)
class RunPlan:
    """`stages` is the plan as it would be stored with the run; rows are those the sources have now."""

    stages: list[dict[str, Any]]
    notes: list[str]
    estimated_rows: int
    parallelism: int
    targets: tuple[TargetPlan, ...]
    changes: tuple[TableChange, ...]


def preview_job(
    pipeline: RunPipeline,
    *,
    database_url: str,
    files_root: FilesRoot,
    parameters: dict[str, ParameterValue] | None = None,
    networks: tuple[Network, ...] = (),
    role_buckets: tuple[str, ...] = (),
    last_runs: Mapping[str, LastRun] | None = None,
) -> Job:
    """The job of a run that will not be run. `networks`, `role_buckets` and `last_runs` as in Job."""
    return Job(
        PLAN_RUN_ID,
        pipeline,
        database_url,
        files_root,
        Continuation(PLAN_RUN_ID),
        parameters or {},
        networks=networks,
        role_buckets=role_buckets,
        last_runs=last_runs or {},
    )


def plan_run(job: Job, found: Callable[[Mapping[str, Discovery]], None] | None = None) -> RunPlan:
    """Plans the run. `found` as in `prepare`. Raises PlanFailed with every problem."""
    prepared = planned(job, found)
    try:
        return _plan(job, prepared)
    finally:
        finish_copies(prepared.sources)
        prepared.close()


def _plan(job: Job, prepared: Prepared) -> RunPlan:
    described = prepared.plan.describe()
    return RunPlan(
        stages=described["stages"],
        notes=described["notes"],
        estimated_rows=prepared.total_rows,
        parallelism=prepared.execution.parallelism,
        targets=tuple(
            _target(
                prepared.plan.stages,
                load,
                prepared.modes.get(load.target.id),
                job.database_of(load.target.id),
                prepared.comparisons.get(load.target.id),
            )
            for load in prepared.plan.loads
        ),
        changes=tuple(_changes(prepared)) if job.database_url else (),
    )


def planned(job: Job, found: Callable[[Mapping[str, Discovery]], None] | None = None) -> Prepared:
    """`prepare`, with all errors as PlanFailed."""
    try:
        return prepare(job, found=found)
    except (SourceError, TargetError) as error:
        raise PlanFailed([Problem("nodes", error.code, error.message, error.hint)]) from error


def known_columns(
    ir: PipelineIR,
    tables: Mapping[str, ReferenceTable] | None = None,
    found: Mapping[str, Schema] | None = None,
) -> dict[str, Schema]:
    """The columns after every node where they are known without reading data. `found` are those of sources
    that declare no `fields`, by node."""
    sources = [node for node in ir.nodes if isinstance(node, SourceNode)]
    declared = {node.id: found[node.id] for node in sources if found is not None and node.id in found}
    declared |= {node.id: node.declared for node in sources if node.fields}
    nodes = logical_plan(ir, declared, {}, tables=tables).nodes
    return {node: columns(found.schema) for node, found in nodes.items()}


def columns(schema: pl.Schema) -> Schema:
    """The columns of a frame as IR types, without the engine's columns."""
    return tuple(field_of_polars(name, dtype) for name, dtype in schema.items() if name != ROW)


def _target(
    stages: Sequence[Stage], load: Load, mode: LoadMode | None, database: Database, comparison: Comparison | None
) -> TargetPlan:
    target = load.target
    lines = [*_steps_before(stages, stages[load.stage], load.path)]
    if isinstance(database, NamedDatabase):
        lines.append(f"-- {target.id}: in the database {database.place}, connector {database.key}")
    lines.append(f"-- {target.id}: {target.load_mode}" if mode is None else mode.preview())
    if comparison is not None:
        lines.append(comparison.preview())
    return TargetPlan(target.id, target.table, target.load_mode, load.columns, "\n".join(lines))


def _steps_before(stages: Sequence[Stage], stage: Stage, path: Sequence[str]) -> Iterator[str]:
    """The steps that rows pass until the end of a path through a stage, starting with earlier stages."""
    if (source := stage.source) is not None:
        fields = ", ".join(
            f"{field.name} {field.data_type}" for field in stage.schema if field.name not in stage.unread
        )
        bounds = f" where {' and '.join(map(str, stage.bounds))}" if stage.bounds else ""
        passed = "; its rows are passed on as they are" if stage.passed is not None else ""
        yield f"-- {source.id}: read {source.connector} ({fields or 'nothing yet'}){bounds}{passed}"
    elif (exchange := stage.exchange) is not None:
        for before in stage.after:
            for sink in stages[before].sinks:
                if isinstance(sink, ShuffleWrite) and sink.exchange == exchange.id:
                    yield from _steps_before(stages, stages[before], sink.path)
        yield f"-- {exchange.node}: {exchange.label}"
    for segment in stage.segments:
        yield from (f"-- {step.node}: {step.label}" for step in segment.steps if step.node in path)


def _changes(prepared: Prepared) -> Iterator[TableChange]:
    """The difference between the databases and the state that the run needs."""
    databases = prepared.job.databases
    for database in databases.all:
        there = {node for node, each in databases.by_target.items() if key_of(each) == key_of(database)}
        yield from _changes_in(database, prepared, there)


def _changes_in(database: Database, prepared: Prepared, there: Collection[str]) -> Iterator[TableChange]:
    loads = [load for load in prepared.plan.loads if load.target.id in there]
    wanted = list(_ENGINE_TABLES)
    if any(load.target.pre_hook or load.target.post_hook for load in loads):
        wanted.append("_headrace.hooks")
    if any(load.target.traits.watermark for load in loads):
        wanted.append("_headrace.watermarks")
    for stage in prepared.plan.stages:
        wanted += [table for table in stage.quarantine.values() if table not in wanted]
    with connect(database, autocommit=True) as connection:
        for load in loads:
            if load.target.connector is not None:
                continue
            table = describe_table(connection, load.target.table)
            if table.column(LOAD_ID) is None:
                add = sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} bigint;")
                statement = add.format(table.identifier, sql.Identifier(LOAD_ID)).as_string()
                yield TableChange(table.qualified, "add column", statement)
            for field in load.added:
                column = sql.SQL("{} {}").format(sql.Identifier(field.name), sql.SQL(sql_type(field)))
                statement = sql.SQL("ALTER TABLE {} ADD COLUMN {};").format(table.identifier, column).as_string()
                yield TableChange(table.qualified, "add column", statement)
        for name in wanted:
            identifier = sql.Identifier(*split_name(name)).as_string()
            found = connection.execute("SELECT to_regclass(%s)", (identifier,)).fetchone()
            if found is None or found[0] is None:
                yield TableChange(name, "create table", None)
