"""`/replications`: the replications, and the page of one: its tables in a run, its newest runs, and what starts one."""

from __future__ import annotations

from secrets import token_hex
from typing import Annotated, Any

from fastapi import Depends, Form, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from headrace.api.console.document_text import written
from headrace.api.console.guard import done_by, pages, plain, see_other, seen_by
from headrace.api.console.pipeline import validated
from headrace.api.console.rendering import fragment, render
from headrace.api.context import Context, RequestContext
from headrace.api.pagination import PageRequest, page_request
from headrace.api.replications import planning, runs, service
from headrace.api.replications.run_schemas import ReplicationRunDetail, run_detail
from headrace.api.replications.schemas import PlanReplication, UpdateReplication
from headrace.api.requests.auth import READ, WRITE
from headrace.api.runs.service import check_idempotency_key
from headrace.catalog.replications.records import UNSUCCESSFUL
from headrace.catalog.runs.records import TERMINAL

router = pages()

PAGE = 50
_ORDER = ("failed", "refused", "cancelled", "completed_with_errors", "running", "waiting", "skipped")
"""Tables that somebody has to look at come first; others follow by name."""


async def _page(cursor: Annotated[str | None, Query(max_length=400)] = None) -> PageRequest:
    return await page_request(PAGE, cursor)


@router.get("/replications", name="console_replications", openapi_extra=seen_by(*READ))
def show_replications(
    request: Request,
    context: Context,
    page: Annotated[PageRequest, Depends(_page)],
    q: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """The replications, newest first."""
    found = service.list_replications(context, page, q or None)
    return render(request, "replications.html", title="Replications", found=found, first=page.after is None, q=q)


@router.get("/replications/{replication_id}", name="console_replication", openapi_extra=seen_by(*READ))
def show_replication(request: Request, context: Context, replication_id: str) -> Response:
    """The tables in the newest run, and the newest runs."""
    return _shown(request, context, replication_id, "")


@router.get(
    "/replications/{replication_id}/runs/{run_id}", name="console_replication_run", openapi_extra=seen_by(*READ)
)
def show_run(request: Request, context: Context, replication_id: str, run_id: str) -> Response:
    """The same with the tables in another run."""
    return _shown(request, context, replication_id, run_id)


def _shown(request: Request, context: RequestContext, replication_id: str, run: str) -> Response:
    found = service.get_replication(context, replication_id)
    newest = runs.list_runs(context, replication_id)
    return render(
        request,
        "replication.html",
        title=found.name,
        replication=found,
        runs=newest,
        request_key=f"console-{token_hex(12)}",
        text=written(found.document),
        **_tables(context, replication_id, run or (newest[0].id if newest else "")),
    )


@router.get(
    "/replications/{replication_id}/runs/{run_id}/tables",
    name="console_replication_tables",
    openapi_extra=seen_by(*READ),
)
def show_tables(context: Context, replication_id: str, run_id: str) -> Response:
    """The part with the tables of a run, which asks for itself again until the run has ended."""
    shown = {"replication_id": replication_id, "may_write": context.principal.role != "viewer"}
    return plain(fragment("replication_tables.html", **shown, **_tables(context, replication_id, run_id)))


@router.get("/replications/{replication_id}/plan", name="console_replication_plan", openapi_extra=seen_by(*WRITE))
async def show_plan(request: Request, context: Context, replication_id: str) -> Response:
    """What a run would do with each table now."""
    found = await planning.plan(context, request, replication_id, PlanReplication())
    return plain(fragment("replication_plan.html", plan=found))


@router.post(
    "/replications/{replication_id}/run",
    name="console_run_replication",
    openapi_extra=done_by(*WRITE, action="run_replication"),
)
async def start(request: Request, context: Context, replication_id: str) -> Response:
    """Starts a run; the same form sent twice starts one run."""
    key = check_idempotency_key(str((await request.form()).get("request_key", "")) or None)
    run, _ = await run_in_threadpool(runs.start_run, context, replication_id, key)
    return see_other(_place(replication_id, run.id))


@router.post(
    "/replications/{replication_id}/status",
    name="console_pause_replication",
    openapi_extra=done_by(*WRITE, action="update_replication"),
)
def set_status(context: Context, replication_id: str, status: Annotated[str, Form(max_length=20)]) -> Response:
    """Pauses or resumes the schedule."""
    service.update_replication(context, validated(UpdateReplication, {"id": replication_id, "status": status}))
    return see_other(f"/replications/{replication_id}")


@router.post(
    "/replications/{replication_id}/runs/{run_id}/retry",
    name="console_retry_replication",
    openapi_extra=done_by(*WRITE, action="retry_replication_run"),
)
def retry(context: Context, replication_id: str, run_id: str) -> Response:
    """Starts a run of the tables that the run did not copy."""
    return see_other(_place(replication_id, runs.retry_run(context, replication_id, run_id).id))


@router.post(
    "/replications/{replication_id}/runs/{run_id}/cancel",
    name="console_cancel_replication",
    openapi_extra=done_by(*WRITE, action="cancel_replication_run"),
)
def cancel(context: Context, replication_id: str, run_id: str) -> Response:
    """Cancels a run and the runs of its tables."""
    runs.cancel_run(context, replication_id, run_id)
    return see_other(_place(replication_id, run_id))


def _tables(context: RequestContext, replication_id: str, run_id: str) -> dict[str, Any]:
    if not run_id:
        return {"run": None, "tables": [], "live": False, "retryable": False}
    run: ReplicationRunDetail = run_detail(runs.watch(context, replication_id, run_id))
    rank = {status: index for index, status in enumerate(_ORDER)}
    tables = sorted(run.results, key=lambda each: (rank.get(each.status, len(rank)), each.name))
    left = not run.results or any(each.status in UNSUCCESSFUL for each in run.results)
    return {
        "run": run,
        "tables": tables,
        "live": run.status not in TERMINAL,
        "retryable": run.status == "failed" and left,
    }


def _place(replication_id: str, run_id: str) -> str:
    return f"/replications/{replication_id}/runs/{run_id}"
