"""`/runs/{id}/quarantine`: the rows that a validate node keeps, and whether they can run again."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response

from headrace.api.console.guard import pages, seen_by
from headrace.api.console.rendering import render
from headrace.api.console.run_words import can_be_retried, explained
from headrace.api.context import Context
from headrace.api.dlq.service import read_rows
from headrace.api.pipelines.history import history
from headrace.api.requests.auth import READ
from headrace.api.runs.report import read_report
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
        version=history(context, run.pipeline_id, runs=0).live_version,
    )


def quarantining(ir: PipelineIR | None) -> list[str]:
    """The nodes that keep the rows they reject."""
    checks = [each for each in ir.nodes if isinstance(each, ValidateNode)] if ir is not None else []
    return [each.id for each in checks if each.quarantine is not None]
