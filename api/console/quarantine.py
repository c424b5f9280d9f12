"""`/runs/{id}/quarantine`: the rows that a validate node keeps, and how many of them would pass if they ran again."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request, Response
from starlette.concurrency import run_in_threadpool

from headrace.api.console.guard import pages, plain, seen_by
from headrace.api.console.rendering import fragment, render
from headrace.api.console.run_words import can_be_retried, explained
from headrace.api.context import Context
from headrace.api.dlq.service import read_rows
from headrace.api.ir import service as documents
from headrace.api.ir.schemas import VersionNumber
from headrace.api.pipelines.history import history
from headrace.api.requests.auth import READ, WRITE
from headrace.api.runs.report import read_report
from headrace.api.runs.retry_trial import dry_run
from headrace.api.runs.service import pipeline_of
from headrace.api.runs.trial_schemas import RetryTrialRequest
from headrace.ir import PipelineIR
from headrace.ir.nodes import ValidateNode

router = pages()

_ROWS = 100


@router.get("/runs/{run_id}/quarantine", name="console_quarantine", openapi_extra=seen_by(*READ))
def show_quarantine(
    request: Request, context: Context, run_id: str, node: Annotated[str | None, Query(max_length=100)] = None
) -> Response:
    """The page of one validate node; the first that has a quarantine table without `node`."""
    report = read_report(context, run_id)
    run = report.run
    keeping = quarantining(report.ir)
    chosen = node or next(iter(keeping), None)
    found = read_rows(context, run_id, run.pipeline_id, chosen, _ROWS) if chosen is not None else None
    return render(
        request,
        "quarantine.html",
        title="Quarantine",
        run=run,
        name=report.pipeline_name,
        nodes=keeping,
        chosen=chosen,
        found=found,
        columns=list(dict.fromkeys(column for each in (found.rows if found else ()) for column in each.row)),
        retryable=can_be_retried(run),
        words=explained(run),
        live=history(context, run.pipeline_id, runs=0).live_version,
        versions=[each.version for each in documents.list_versions(context, run.pipeline_id)],
    )


@router.get("/runs/{run_id}/quarantine/dry-run", name="console_try_quarantine", openapi_extra=seen_by(*WRITE))
async def try_rows(
    request: Request, context: Context, run_id: str, version: Annotated[VersionNumber | None, Query()] = None
) -> Response:
    """What would become of the run's failed rows under a version, by default the live one; nothing is written."""
    pipeline_id = await run_in_threadpool(pipeline_of, context, run_id)
    found = await dry_run(context, request, pipeline_id, run_id, RetryTrialRequest(irVersion=version))
    live = (await run_in_threadpool(history, context, pipeline_id, runs=0)).live_version
    shown: dict[str, Any] = {"found": found, "run_id": run_id, "pipeline_id": pipeline_id, "live": live}
    return plain(fragment("quarantine_tried.html", **shown))


def quarantining(ir: PipelineIR | None) -> list[str]:
    """The nodes that keep the rows they reject."""
    checks = [each for each in ir.nodes if isinstance(each, ValidateNode)] if ir is not None else []
    return [each.id for each in checks if each.quarantine is not None]
