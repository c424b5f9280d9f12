"""Cancellation of a run."""

from __future__ import annotations

from headrace.api.context import RequestContext
from headrace.api.errors import ApiError
from headrace.api.runs.schemas import RunItem
from headrace.api.runs.service import watch
from headrace.catalog.runs.records import TERMINAL
from headrace.catalog.runs.statements import log_line


def cancel_run(context: RequestContext, pipeline_id: str, run_id: str) -> RunItem:
    """Requests cancellation. The run ends `failed` with the reason `cancelled`; committed rows stay, and a retry
    resumes after them. Raises ApiError: 404, 422 for a run that has ended; OrchestratorAway."""
    run = watch(context, pipeline_id, run_id)
    if run.status in TERMINAL:
        raise ApiError(422, f"The run has ended already: it is {run.status}")
    if not context.orchestrator.cancel(run_id):
        now = context.orchestrator.state(run_id)
        ended = "it no longer exists in Prefect" if now is None else f"it is {now.status}"
        raise ApiError(422, f"The run has ended already: {ended}")
    with context.catalog() as catalog:
        catalog.session.execute(log_line(run_id, "run", f"Cancellation requested by {context.principal.actor}"))
        catalog.audit.append("cancel_run", "run", run_id)
    return RunItem(
        id=run.id, pipeline_id=pipeline_id, status=run.status, created_at=run.created_at, completed_at=run.finished_at
    )
