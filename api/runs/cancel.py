"""Stopping a run."""

from __future__ import annotations

from api.context import RequestContext
from api.errors import ApiError
from api.runs.schemas import RunItem
from api.runs.service import watch
from catalog.run_log import log_line
from catalog.run_records import TERMINAL


def cancel_run(context: RequestContext, pipeline_id: str, run_id: str) -> RunItem:
    """Asks for the run to be stopped. It ends `failed` with the reason `cancelled`; what was committed stays, and a
    retry goes on behind it. Raises ApiError: 404, 422 for a run that has ended; OrchestratorAway."""
    run = watch(context, pipeline_id, run_id)
    if run.status in TERMINAL:
        raise ApiError(422, f"The run has ended already: it is {run.status}")
    context.orchestrator.cancel(run_id)
    with context.catalog() as catalog:
        catalog.session.execute(log_line(run_id, "run", f"Cancellation was asked for by {context.principal.actor}"))
        catalog.audit.append("cancel_run", "run", run_id)
    return RunItem(
        id=run.id, pipeline_id=pipeline_id, status=run.status, created_at=run.created_at, completed_at=run.finished_at
    )
