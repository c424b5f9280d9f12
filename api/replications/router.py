"""`/replications`."""

from __future__ import annotations

from fastapi import Request, Response

from headrace.api.context import Context
from headrace.api.pagination import Paged, PageOf
from headrace.api.parameters import (
    CancelRuns,
    IdempotencyKey,
    IfMatch,
    NamePart,
    ReplicationIdPath,
    ReplicationIdQuery,
    RunIdPath,
)
from headrace.api.replications import planning, runs, service
from headrace.api.replications.run_schemas import (
    ReplicationProgress,
    ReplicationRunDetail,
    ReplicationRunItem,
    run_detail,
    run_progress,
)
from headrace.api.replications.schemas import (
    CreateReplication,
    PlanReplication,
    ReplicationItem,
    ReplicationPlan,
    UpdateReplication,
)
from headrace.api.requests.auth import READ, WRITE, allow, guarded_router
from headrace.api.requests.if_match import expected_version
from headrace.api.runs.service import check_idempotency_key

router = guarded_router("replications")


@router.get("/replications", openapi_extra=allow(*READ))
def list_replications(context: Context, page: Paged, q: NamePart = None) -> PageOf[ReplicationItem]:
    """The tenant's replications, newest first; `q` matches a part of the name."""
    return service.list_replications(context, page, q)


@router.post("/replications", status_code=201, openapi_extra=allow(*WRITE))
def create_replication(context: Context, body: CreateReplication, response: Response) -> ReplicationItem:
    """Creates a replication. Its tables are inspected by a plan or a run."""
    return _tagged(service.create_replication(context, body), response)


@router.put("/replications", openapi_extra=allow(*WRITE))
def update_replication(
    context: Context, body: UpdateReplication, response: Response, if_match: IfMatch = None
) -> ReplicationItem:
    """Updates a replication. Omitted fields are unchanged; the pipelines of its tables follow in the next run."""
    expected = expected_version(if_match)
    return _tagged(service.update_replication(context, body, expected=expected), response)


@router.delete("/replications", status_code=204, openapi_extra=allow(*WRITE))
def delete_replication(
    context: Context,
    replication_id: ReplicationIdQuery,
    force: CancelRuns = False,
) -> None:
    """Deletes a replication with the pipelines of its tables; the schemas and the rows in them stay."""
    service.delete_replication(context, replication_id, force=force)


@router.get("/replications/{replication_id}", openapi_extra=allow(*READ))
def get_replication(context: Context, replication_id: ReplicationIdPath, response: Response) -> ReplicationItem:
    """One replication."""
    return _tagged(service.get_replication(context, replication_id), response)


@router.post("/replications/{replication_id}/plan", responses={422: {}}, openapi_extra=allow(*WRITE, recorded=False))
async def plan_replication(
    context: Context, request: Request, replication_id: ReplicationIdPath, body: PlanReplication | None = None
) -> ReplicationPlan:
    """What a run would do with each table: its pipeline, the DDL, and the changes since the last run. The source is
    inspected like in a run, and nothing is changed."""
    return await planning.plan(context, request, replication_id, body or PlanReplication())


@router.post(
    "/replications/{replication_id}/run",
    status_code=201,
    responses={200: {"model": ReplicationRunItem, "description": "The run that the same `Idempotency-Key` started"}},
    openapi_extra=allow(*WRITE),
)
def run_replication(
    context: Context,
    replication_id: ReplicationIdPath,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> ReplicationRunItem:
    """Starts a run of all tables. An `Idempotency-Key` that started a run before returns that run, with 200."""
    run, new = runs.start_run(context, replication_id, check_idempotency_key(idempotency_key))
    response.status_code = 201 if new else 200
    return run


@router.get("/replications/{replication_id}/runs", openapi_extra=allow(*READ))
def list_replication_runs(context: Context, replication_id: ReplicationIdPath) -> list[ReplicationRunItem]:
    """The newest 20 runs with totals, including those of schedules and of Prefect's UI that have started."""
    return runs.list_runs(context, replication_id)


@router.get("/replications/{replication_id}/runs/{run_id}", openapi_extra=allow(*READ))
def get_replication_run(context: Context, replication_id: ReplicationIdPath, run_id: RunIdPath) -> ReplicationRunDetail:
    """One run with each of its tables."""
    return run_detail(runs.watch(context, replication_id, run_id))


@router.get("/replications/{replication_id}/runs/{run_id}/progress", openapi_extra=allow(*READ))
def get_replication_progress(
    context: Context, replication_id: ReplicationIdPath, run_id: RunIdPath
) -> ReplicationProgress:
    """The progress of a run: of all tables, and of each."""
    return run_progress(runs.watch(context, replication_id, run_id))


@router.post("/replications/{replication_id}/runs/{run_id}/retry", status_code=201, openapi_extra=allow(*WRITE))
def retry_replication_run(context: Context, replication_id: ReplicationIdPath, run_id: RunIdPath) -> ReplicationRunItem:
    """Starts a run of the tables that a run did not copy; each resumes after the rows it committed."""
    return runs.retry_run(context, replication_id, run_id)


@router.post("/replications/{replication_id}/runs/{run_id}/cancel", status_code=202, openapi_extra=allow(*WRITE))
def cancel_replication_run(
    context: Context, replication_id: ReplicationIdPath, run_id: RunIdPath
) -> ReplicationRunItem:
    """Cancels a run and the runs of its tables; rows they committed stay, and a retry resumes after them."""
    return runs.cancel_run(context, replication_id, run_id)


def _tagged(replication: ReplicationItem, response: Response) -> ReplicationItem:
    response.headers["ETag"] = f'"{replication.version}"'
    return replication
