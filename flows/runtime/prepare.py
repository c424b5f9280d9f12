"""Planning a run: parse the pinned IR, inspect the sources and the tables, compile. Reads no rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from headrace.connectors.casting.columns import ALWAYS_READABLE
from headrace.connectors.postgresql.connections import ConnectionShare, connection_share
from headrace.connectors.postgresql.modes import LoadSpec, RetryPolicy
from headrace.connectors.source import Discovery, Source
from headrace.flows.compile import PhysicalPlan, TargetColumn, logical_plan, physical_plan
from headrace.flows.compile.logical_node import LogicalPlan
from headrace.flows.compile.target.lost_columns import lost_columns
from headrace.flows.compile.type_inference.infer import InferredTypes, infer_types
from headrace.flows.enrich import ProviderAccess
from headrace.flows.resume.continuation import not_replayed
from headrace.flows.runtime.databases import identities
from headrace.flows.runtime.deletes.comparison import comparisons_of, unmarkable
from headrace.flows.runtime.deletes.traced import traced_keys
from headrace.flows.runtime.errors import PlanFailed, RunFailed
from headrace.flows.runtime.execution_config import ExecutionConfig
from headrace.flows.runtime.hooks.check import hook_problems
from headrace.flows.runtime.input.failed_rows import only_failed, replaying
from headrace.flows.runtime.input.inspection import inspected, open_sources
from headrace.flows.runtime.input.narrowing import narrowed
from headrace.flows.runtime.input.passing import passed_through
from headrace.flows.runtime.input.sources import parsed
from headrace.flows.runtime.job import Job, Prepared, close_sources, finish_copies
from headrace.flows.runtime.reference_tables import reference_tables
from headrace.flows.runtime.stored_plan import as_before, stored_buckets
from headrace.flows.runtime.streaming.fitness import unending
from headrace.flows.runtime.targets.load_modes import load_mode_of, load_spec_of, table_columns, unfit_keys
from headrace.ir import PipelineIR
from headrace.ir.nodes import TargetNode
from headrace.ir.schema import Schema
from headrace.ir.secrets import document_credentials


@dataclass(frozen=True, slots=True)
class Looked:
    """The document and its sources, opened and looked at by whoever keeps them open: they are not closed here."""

    ir: PipelineIR
    sources: dict[str, Source]
    discoveries: Mapping[str, Discovery]


NO_TARGET_LEFT = (
    "The failed rows have nowhere to go: their targets are no longer in the pipeline, "
    "and with the others they are done."
)


def prepare(
    job: Job,
    *,
    under_way: bool = False,
    found: Callable[[Mapping[str, Discovery]], None] | None = None,
    looked: Looked | None = None,
) -> Prepared:
    """Plans the run. If it continues an earlier one that stored its plan (`stored_plan`), the partitions of that plan
    are used again, because the ledger counts by them. `under_way`: another process runs it and has inspected the
    sources; its findings are used if the sources have not changed since. `found` is called with the columns of the
    sources, by node, as soon as they are known, in a run that does not continue another. `looked` is what
    an epoch of a streaming run begins with.

    Raises PlanFailed, SourceChanged, SourceError or TargetError, all with messages for people.
    """
    if looked is not None:
        return _prepared(job, looked.ir, looked.sources, under_way=False, found=found, looked=looked)
    ir = parsed(job)
    sources = open_sources(job, ir)
    try:
        return _prepared(job, ir, sources, under_way=under_way, found=found)
    except BaseException:
        if job.continues.earlier_plan is None:  # else they are the positions to continue from
            finish_copies(sources)
        close_sources(sources)
        raise


def _prepared(
    job: Job,
    ir: PipelineIR,
    sources: dict[str, Source],
    *,
    under_way: bool,
    found: Callable[[Mapping[str, Discovery]], None] | None,
    looked: Looked | None = None,
) -> Prepared:
    execution, epoch = ExecutionConfig.of(job.pipeline.execution_config), job.epoch

    def settled(seen: Discovery) -> Discovery:
        bounded = execution.bounded(seen)
        return bounded if epoch is None else epoch.numbered(bounded)

    discoveries = inspected(job, ir, sources, under_way=under_way) if looked is None else looked.discoveries
    if not under_way:
        discoveries = {node: settled(each) for node, each in discoveries.items()}
    if (earlier := job.continues.plan) is not None:
        discoveries = {node: as_before(node, each, earlier) for node, each in discoveries.items()}
    elif found is not None:
        found(discoveries)
    if job.continues.replays:
        for node in {node for node, _ in job.continues.open_rows or ()} - discoveries.keys():
            raise RunFailed(f"Failed rows are of the source '{node}', which is not in the pipeline any more.")
        discoveries = {node: only_failed(node, found, job, ir) for node, found in discoveries.items()}
        sources = {node: replaying(node, source, discoveries[node], job) for node, source in sources.items()}
    known = bool(job.database_url)
    targets = _tables(job, ir) if known else {}
    secrets = document_credentials(job.pipeline.connector.credentials)
    providers = ProviderAccess(job.networks)
    compiled = partial(
        logical_plan,
        ir,
        targets=targets,
        secrets=secrets,
        tables=reference_tables(job),
        providers=providers,
        assumed=not known,
    )
    views = None if earlier is None else earlier.views or {}
    if views is None or job.continues.replays:
        inferred = _settled(ir, discoveries, targets, sources, compiled)
        discoveries = {node: _read_as(each, inferred.schemas.get(node)) for node, each in discoveries.items()}
        views = inferred.views
    schemas = {node: each.schema for node, each in discoveries.items() if each.schema}
    logical = compiled(schemas, views=views)
    traced, untraced = traced_keys(ir, logical)
    if problems := [*logical.problems, *untraced, *hook_problems(ir, job.pipeline.tables if known else None, secrets)]:
        raise PlanFailed(problems)
    if earlier is None and (lost := lost_columns(ir, job.last_runs, discoveries, targets, logical, compiled)):
        raise PlanFailed(lost)

    def planned(seen: Mapping[str, Discovery]) -> PhysicalPlan:
        return physical_plan(
            ir,
            logical,
            seen,
            parallelism=execution.parallelism,
            buckets=stored_buckets(earlier),
            audits=not job.continues.replays,
            remarks=(*(note for node in seen for note in seen[node].notes), *_unsliced(job, execution, seen)),
        )

    plan = planned(discoveries)
    if earlier is None and (less := narrowed(sources, discoveries, plan)) is not discoveries:
        discoveries = {node: settled(each) for node, each in less.items()}
        plan = planned(discoveries)
    _replayable(job, plan)
    for database in job.databases.all if known else ():
        plan, execution = _within(connection_share(database, job.run_id), plan, execution)
    if epoch is None:
        plan = passed_through(plan, job, sources, discoveries, targets)
    gathered: dict[int, dict[int, int]] = {
        stage.index: {} for stage in plan.stages if stage.exchange is not None or not stage.counted
    }
    specs = _specs(job, ir, plan, gathered) if known else {}
    loaded = [load for load in plan.loads if load.target.id in specs]
    modes = {load.target.id: load_mode_of(plan, load, job, specs[load.target.id]) for load in loaded}
    comparisons = comparisons_of(job, ir, plan.loads, traced, targets, specs)
    if problems := [
        *unfit_keys(ir, modes),
        *unmarkable(ir, comparisons),
        *(unending(ir, discoveries) if epoch is not None else ()),
    ]:
        raise PlanFailed(problems)
    plan = replace(plan, notes=(*plan.notes, *(each.note for each in comparisons.values())))
    return Prepared(job, ir, plan, execution, sources, discoveries, modes, gathered, providers, views, comparisons)


def _replayable(job: Job, plan: PhysicalPlan) -> None:
    """Raises RunFailed where failed rows cannot be run again by themselves, or have no target left."""
    if job.continues.replays and plan.entangling is not None:
        raise RunFailed(not_replayed(plan.entangling))
    if job.continues.open_rows and not plan.total_rows:
        raise RunFailed(NO_TARGET_LEFT)


def _tables(job: Job, ir: PipelineIR) -> dict[str, list[TargetColumn]]:
    """The columns of the targets' tables, by node. Raises TargetError, also where one database has two names."""
    identities(job.databases)
    return {node.id: table_columns(node, job) for node in ir.nodes if isinstance(node, TargetNode)}


def _specs(
    job: Job, ir: PipelineIR, plan: PhysicalPlan, gathered: Mapping[int, Mapping[int, int]]
) -> dict[str, LoadSpec]:
    """How each target is loaded."""
    retry = RetryPolicy(attempts=ir.error_handling.retry.max_attempts)
    return {load.target.id: load_spec_of(plan, load, job, retry, gathered.get(load.stage)) for load in plan.loads}


def _unsliced(job: Job, execution: ExecutionConfig, discoveries: Mapping[str, Discovery]) -> Iterator[str]:
    """A note for each source of a micro-batch run that has no cursor."""
    for node, found in discoveries.items():
        remembers = node in job.held or any(each.cursor is not None for each in found.partitions)
        if execution.mode != "batch" and found.partitions and not remembers and not job.continues.replays:
            yield f"{node} has no cursor, and takes no files: every run in the mode {execution.mode} reads all of it"


def _within(
    share: ConnectionShare | None, plan: PhysicalPlan, execution: ExecutionConfig
) -> tuple[PhysicalPlan, ExecutionConfig]:
    """The plan with no more partitions at a time than the database has connections for, and a note if that reduces
    them."""
    if share is None:
        return plan, execution
    each = max((len(stage.sinks) for stage in plan.stages), default=1)
    given = share.partitions(execution.parallelism, each)
    at_once = min(execution.parallelism, max((len(stage.partitions) for stage in plan.stages), default=1))
    if given < at_once:
        plan = replace(plan, notes=(*plan.notes, share.describe(execution.parallelism, given)))
    return plan, replace(execution, parallelism=given)


def _settled(
    ir: PipelineIR,
    discoveries: Mapping[str, Discovery],
    targets: Mapping[str, list[TargetColumn]],
    sources: Mapping[str, Source],
    compiled: Callable[..., LogicalPlan],
) -> InferredTypes:
    """How columns whose types nothing declares are read."""
    schemas = {node: found.schema for node, found in discoveries.items() if found.schema}
    guessed = {node: found.guessed for node, found in discoveries.items() if found.guessed}
    if not guessed:
        return InferredTypes(schemas, {})
    names = {node: tuple(found.schema) for node, found in compiled(schemas).nodes.items()}
    return infer_types(
        ir,
        schemas,
        guessed,
        targets,
        names,
        lambda node, columns: sources[node].types_of(columns),
        lambda tried: len(compiled(tried.schemas, views=tried.views).problems),
    )


def _read_as(found: Discovery, schema: Schema | None) -> Discovery:
    """The source with its columns read so; those of text can always be."""
    if schema is None or schema == found.schema:
        return found
    changed = {new.name for old, new in zip(found.schema, schema, strict=True) if old != new}
    sure = {field.name for field in schema if field.data_type in ALWAYS_READABLE}
    return replace(found, schema=schema, sure=frozenset((found.sure - changed) | sure))
