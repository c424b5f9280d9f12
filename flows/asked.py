"""From the parameters of a flow run to its job: the pinned pipeline, and what is taken over from earlier runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from catalog.errors import PipelineMissing
from catalog.load_strategy import LOAD_STRATEGIES, load_strategy
from catalog.run_records import RunPipeline
from catalog.runs import RunStore
from catalog.settings import settings
from flows.resume import Continuation, begun_before, retried
from flows.runtime.job import Job
from flows.runtime.limits import RunFailed
from ir.parameters import ParameterValue


class Asked(NamedTuple):
    """The parameters of the flow."""

    pipeline_id: str
    tenant_id: str
    ir_version: int | None
    retry_of: str | None
    parameters: Mapping[str, ParameterValue]


def continues_from(store: RunStore, run_id: str, asked: Asked) -> Continuation:
    """What the run takes over, as it stands now. Raises RunFailed when there is nothing to retry."""
    database_url = settings().database_url
    before = store.snapshot(run_id) if store.planned(run_id) else None
    if before is not None:
        return replace(begun_before(before, store, database_url), first_run_id=store.first_of_chain(run_id))
    if asked.retry_of is None:
        return Continuation(root_run_id=run_id)
    original = store.snapshot(asked.retry_of)
    if original is None or (original.tenant_id, original.pipeline_id) != (asked.tenant_id, asked.pipeline_id):
        raise RunFailed(f"There is no run {asked.retry_of} to retry")
    return retried(original, store, run_id, database_url)


def job_of(store: RunStore, run_id: str, asked: Asked) -> Job:
    """The pinned pipeline and what the run takes over from earlier ones; makes the run known to the catalog."""
    continues = continues_from(store, run_id, asked)
    pipeline = store.load_pipeline(asked.pipeline_id, continues.ir_version or asked.ir_version)
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
    )
    return _job(run_id, pipeline, continues, parameters)


def looked_at_again(store: RunStore, job: Job, asked: Asked) -> Job:
    """The job with what it takes over as it stands now. Raises RunFailed."""
    continues = continues_from(store, job.run_id, asked)
    if continues.ir_version not in (None, job.pipeline.ir_version):
        raise RunFailed(f"Another attempt committed rows under version {continues.ir_version} meanwhile. Retry again.")
    if continues.anew and not job.continues.anew:
        raise RunFailed("A dataset rule held back what another attempt staged meanwhile. Retry again.")
    return replace(job, continues=continues)


def job_under_way(store: RunStore, run_id: str) -> Job:
    """The job of a run that another process has begun, from what that one stored; changes nothing.

    Raises RunFailed when it is not known or not planned yet.
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
    return _job(run_id, store.load_pipeline(begun.pipeline_id, begun.ir_version), continues, begun.parameters)


def _job(run_id: str, pipeline: RunPipeline, continues: Continuation, parameters: Mapping[str, ParameterValue]) -> Job:
    return Job(
        run_id,
        pipeline,
        settings().database_url,
        settings().files_root,
        continues,
        parameters,
        networks=settings().connector_networks,
        staging_root=settings().staging_root,
    )


def load_modes(ir: dict[str, Any]) -> list[str]:
    """The load modes of the targets; read leniently, because a faulty document is reported by `prepare`."""
    nodes = [node for node in ir.get("nodes", ()) if isinstance(node, dict)]
    modes = [node.get("loadMode", "append") for node in nodes if node.get("kind") == "target"]
    return [mode for mode in modes if mode in LOAD_STRATEGIES]
