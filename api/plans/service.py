"""Plans and previews of runs, made in child processes (`api.subprocesses`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from headrace.api.context import RequestContext
from headrace.api.databases import opened
from headrace.api.errors import ApiError, invalid
from headrace.api.pipelines.deployment import Runnable, runnable
from headrace.api.pipelines.service import owned_pipeline
from headrace.api.plans.schemas import PlanRequest, PreviewRequest
from headrace.api.subprocesses import jobs
from headrace.api.subprocesses.inspected import Inspected
from headrace.catalog.errors import NoIr, PipelineMissing
from headrace.catalog.found_columns import Seen, remember
from headrace.catalog.runs.records import RunPipeline
from headrace.connectors.errors import SourceError
from headrace.flows.dry_run.plan import PlanFailed, preview_job
from headrace.flows.runtime.found_columns import last_runs
from headrace.flows.runtime.job import Job
from headrace.flows.tenant_files import files_of
from headrace.ir.problems import Problem, nearest


async def plan(context: RequestContext, request: Request, pipeline_id: str, body: PlanRequest) -> Response:
    """The plan of a run. Raises ApiError: 404, 422 with every problem for a pipeline that cannot run."""
    with plan_errors_as_422():
        chosen, job = await run_in_threadpool(planned_job, context, pipeline_id, body)
        return await _run_in_child(context, request, "plan", jobs.plan, job, _shown(chosen), chosen.load_strategy)


async def sql_preview(context: RequestContext, request: Request, pipeline_id: str, version: int | None) -> Response:
    """The SQL of each target. Raises as `plan`."""
    with plan_errors_as_422():
        chosen, job = await run_in_threadpool(planned_job, context, pipeline_id, PlanRequest(irVersion=version))
        return await _run_in_child(context, request, "plan", jobs.sql_preview, job, _shown(chosen))


async def preview_rows(context: RequestContext, request: Request, pipeline_id: str, body: PreviewRequest) -> Response:
    """The output of each node for the first records. Raises as `plan`, and ApiError 400 for an unknown node."""
    with plan_errors_as_422():
        chosen, job = await run_in_threadpool(planned_job, context, pipeline_id, body)
        ids = [node.id for node in chosen.ir.nodes]
        if body.node is not None and body.node not in ids:
            message = f"The pipeline has no node '{body.node}'"
            raise invalid("node", "unknown_node", message, nearest(body.node, ids))
        return await _run_in_child(
            context, request, "preview", jobs.preview_rows, job, _shown(chosen), body.limit, body.node
        )


async def _run_in_child(
    context: RequestContext, request: Request, what: str, work: Callable[..., bytes], job: Job, *arguments: Any
) -> Response:
    services = context.services
    seconds = services.settings.preview_timeout_s
    answer = await services.subprocesses.run(request, context.principal.tenant_id, what, seconds, work, job, *arguments)
    found = Inspected.parse(answer)
    if found.seen:
        await run_in_threadpool(_remember, context, job.pipeline.id, found.seen, what)
    if found.problems:
        raise PlanFailed(found.problems)
    return Response(found.body, media_type="application/json")


def _remember(context: RequestContext, pipeline_id: str, seen: Iterable[Seen], what: str) -> None:
    with context.catalog() as catalog:
        remember(catalog.session, pipeline_id, seen, what)


@contextmanager
def plan_errors_as_422() -> Iterator[None]:
    """Converts PlanFailed to ApiError 422, and a missing pipeline to 404."""
    try:
        yield
    except PlanFailed as failure:
        raise ApiError(422, "The pipeline cannot run", details=failure.problems) from failure
    except (NoIr, PipelineMissing) as error:  # deleted meanwhile
        raise ApiError(404, "There is no such pipeline") from error


def planned_job(context: RequestContext, pipeline_id: str, body: PlanRequest) -> tuple[Runnable, Job]:
    """The version to plan, and its job."""
    with context.catalog() as catalog:
        chosen = runnable(catalog, owned_pipeline(catalog, pipeline_id), body.ir_version)
    settings = context.services.settings
    stored = context.store.pipelines.load(pipeline_id, chosen.version)
    job = preview_job(
        _with_block_values(context, stored),
        database_url=settings.database_url,
        files_root=files_of(settings, context.principal.tenant_id),
        parameters=dict(body.parameters),
        networks=settings.connector_networks,
        role_buckets=settings.connector_role_buckets,
        last_runs=last_runs(context.store.sources, stored),
    )
    return chosen, job


def _with_block_values(context: RequestContext, pipeline: RunPipeline) -> RunPipeline:
    try:
        return opened(context, pipeline)
    except SourceError as error:
        raise PlanFailed([Problem("connector.authConfig", error.code, error.message, error.hint)]) from error


def _shown(chosen: Runnable) -> int | None:
    """The version's number; None for legacy nodes and edges."""
    return chosen.version if chosen.version > 0 else None
