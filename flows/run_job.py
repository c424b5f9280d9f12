"""The job of a flow run: the pinned pipeline, and what the run takes over from earlier runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from headrace.catalog.errors import PipelineMissing
from headrace.catalog.runs.records import RunPipeline
from headrace.catalog.runs.store import RunStore
from headrace.catalog.settings import settings
from headrace.connectors.postgresql.connections import Database
from headrace.flows.resume.continuation import Continuation, retried, same_run_again
from headrace.flows.resume.ledgers import Ledgers, Versions
from headrace.flows.runtime.databases import databases_of
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.execution_config import ExecutionConfig
from headrace.flows.runtime.found_columns import last_runs
from headrace.flows.runtime.job import Job
from headrace.flows.tenant_files import files_of
from headrace.ir.load_modes import load_modes, load_strategy
from headrace.ir.parameters import ParameterValue


class RunRequest(NamedTuple):
    """The parameters of a flow run."""

    pipeline_id: str
    tenant_id: str
    ir_version: int | None
    retry_of: str | None
    parameters: Mapping[str, ParameterValue]


Opened = Callable[[RunPipeline], RunPipeline]
"""Resolves the references in the credentials of a pipeline's connectors."""


def _as_it_is(pipeline: RunPipeline) -> RunPipeline:
    return pipeline


def continuation_for(store: RunStore, run_id: str, asked: RunRequest, opened: Opened = _as_it_is) -> Continuation:
    """What the run takes over from earlier runs, as of now. Raises RunFailed when there is nothing to retry."""
    ledgers = _ledgers(store, asked, opened)
    before = store.snapshot(run_id) if store.planned(run_id) else None
    if before is not None:
        return replace(same_run_again(before, store, ledgers), first_run_id=store.first_of_chain(run_id))
    if asked.retry_of is None:
        return Continuation(root_run_id=run_id)
    original = store.snapshot(asked.retry_of)
    if original is None or (original.tenant_id, original.pipeline_id) != (asked.tenant_id, asked.pipeline_id):
        raise RunFailed(f"There is no run {asked.retry_of} to retry")
    return retried(original, store, run_id, ledgers)


def _ledgers(store: RunStore, asked: RunRequest, opened: Opened) -> Ledgers:
    """The ledgers of the pipeline's versions; in the warehouse with the login of runs."""

    def found(versions: Versions) -> Sequence[Database]:
        chosen = dict.fromkeys(asked.ir_version if each is None else each for each in versions)
        pipelines = [store.pipelines.load(asked.pipeline_id, each) for each in chosen]
        return databases_of(map(opened, pipelines), settings().for_runs, settings().connector_networks)

    return Ledgers(found)


def open_job(store: RunStore, run_id: str, asked: RunRequest, opened: Opened = _as_it_is) -> Job:
    """The job of a run: the pinned pipeline and the state of earlier runs. Records the run in the catalog. `opened` is
    for whatever has to be asked of other databases; the job's own credentials are as they are stored.

    Raises RunFailed when there is nothing to retry, PipelineMissing when the tenant has no such pipeline.
    """
    continues = continuation_for(store, run_id, asked, opened)
    pipeline = store.pipelines.load(asked.pipeline_id, continues.ir_version or asked.ir_version)
    if pipeline.tenant_id != asked.tenant_id:
        raise PipelineMissing(f"There is no pipeline {asked.pipeline_id}")
    parameters = asked.parameters if continues.parameters is None else continues.parameters
    store.open(
        run_id,
        tenant_id=pipeline.tenant_id,
        pipeline_id=pipeline.id,
        ir_version=pipeline.ir_version,
        root_run_id=continues.root_run_id,
        retry_of=continues.retry_of,
        origin_run_id=continues.origin_run_id,
        parameters=parameters,
        load_strategy=load_strategy(load_modes(pipeline.ir)),
        status="running",
        streams=ExecutionConfig.of(pipeline.execution_config).mode == "streaming" and not continues.replays,
    )
    return _job(store, run_id, pipeline, continues, parameters)


def refresh_job(store: RunStore, job: Job, asked: RunRequest, opened: Opened = _as_it_is) -> Job:
    """The job with the state of earlier runs read again. Raises RunFailed when another attempt has made it invalid."""
    continues = continuation_for(store, job.run_id, asked, opened)
    if continues.ir_version not in (None, job.pipeline.ir_version):
        raise RunFailed(f"Another attempt committed rows under version {continues.ir_version} meanwhile. Retry again.")
    if continues.reloads and not job.continues.reloads:
        raise RunFailed("A dataset rule held back what another attempt staged meanwhile. Retry again.")
    return replace(job, continues=continues)


def stored_job(store: RunStore, run_id: str) -> Job:
    """The job of a run that another process has started, read from the catalog; changes nothing.

    Raises RunFailed when the run is unknown or not planned yet.
    """
    begun = store.snapshot(run_id)
    if begun is None or begun.plan is None:
        raise RunFailed(f"There is no planned run {run_id}")
    continues = Continuation(
        root_run_id=begun.root_run_id,
        retry_of=begun.retry_of,
        origin_run_id=begun.origin_run_id,
        ir_version=begun.ir_version,
        earlier_plan=begun.plan,
        parameters=begun.parameters,
        first_run_id=store.first_of_chain(run_id),
    )
    pipeline = store.pipelines.load(begun.pipeline_id, begun.ir_version)
    return _job(store, run_id, pipeline, continues, begun.parameters)


def _job(
    store: RunStore,
    run_id: str,
    pipeline: RunPipeline,
    continues: Continuation,
    parameters: Mapping[str, ParameterValue],
) -> Job:
    return Job(
        run_id,
        pipeline,
        store.pipelines.target_url(settings(), pipeline.tenant_id),
        files_of(settings(), pipeline.tenant_id),
        continues,
        parameters,
        catalog_url=settings().for_runs,
        networks=settings().connector_networks,
        role_buckets=settings().connector_role_buckets,
        query_memory=settings().query_memory_mb * 1024 * 1024,
        staging_root=settings().staging_root,
        last_runs=last_runs(store.sources, pipeline),
    )
