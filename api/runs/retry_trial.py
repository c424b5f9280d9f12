"""Dry runs of retries: how many failed rows of a completed run would pass now, made in a child process."""

from __future__ import annotations

from dataclasses import replace

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from headrace.api.context import RequestContext
from headrace.api.databases import ledgers_of
from headrace.api.errors import ApiError
from headrace.api.plans.schemas import PlanRequest
from headrace.api.plans.service import plan_errors_as_422, planned_job
from headrace.api.runs.retry import check_not_retried
from headrace.api.runs.service import watch
from headrace.api.runs.trial_schemas import RetryTrial, RetryTrialRequest
from headrace.api.subprocesses import jobs
from headrace.connectors.errors import TargetError
from headrace.flows.resume.continuation import retried
from headrace.flows.runtime.errors import PlanFailed, RunFailed
from headrace.flows.runtime.job import PLAN_RUN_ID, Job
from headrace.flows.validation.check import check_types


async def dry_run(
    context: RequestContext, request: Request, pipeline_id: str, run_id: str, body: RetryTrialRequest
) -> RetryTrial:
    """What a retry would do with the failed rows of a run; writes nothing. Raises ApiError: 404, 422 with the reason
    where they cannot run again, or with every problem of a version that cannot run."""
    services = context.services
    with plan_errors_as_422():
        version, job = await run_in_threadpool(_job, context, pipeline_id, run_id, body)
        try:
            answer = await services.subprocesses.run(
                request,
                context.principal.tenant_id,
                "dry run",
                services.settings.preview_timeout_s,
                jobs.try_replay,
                job,
                version,
                body.limit,
            )
        except PlanFailed as failure:
            if len(failure.problems) == 1:  # the reason is the message, and no detail of it
                [problem] = failure.problems
                raise ApiError(422, problem.message, details=failure.problems) from failure
            raise
        except TargetError as error:
            raise ApiError(422, str(error)) from error
    return RetryTrial.model_validate_json(answer)


def _job(context: RequestContext, pipeline_id: str, run_id: str, body: RetryTrialRequest) -> tuple[int | None, Job]:
    original = watch(context, pipeline_id, run_id)
    if original.status != "completed_with_errors":
        message = f"Only the failed rows of a run that completed with errors can be tried: the run is {original.status}"
        raise ApiError(422, message)
    check_not_retried(context, original)
    try:
        continues = retried(original, context.store, PLAN_RUN_ID, ledgers_of(context, pipeline_id))
    except (RunFailed, TargetError) as error:
        raise ApiError(422, str(error)) from None
    chosen, job = planned_job(context, pipeline_id, PlanRequest(irVersion=body.ir_version))
    if problems := check_types(chosen.ir):
        raise ApiError(422, "The pipeline cannot run", details=problems)
    shown = chosen.version if chosen.version > 0 else None
    return shown, replace(job, continues=continues, parameters=continues.parameters or {}, last_runs={})
