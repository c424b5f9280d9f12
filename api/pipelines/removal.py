"""Deletion of a pipeline, which is refused while it has runs, or cancels them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from headrace.api.context import RequestContext
from headrace.api.errors import ApiError
from headrace.api.pipelines.deployment import sync_deployment
from headrace.api.pipelines.kept_sources import forget_sources
from headrace.api.pipelines.service import owned_pipeline, refuse_replicated
from headrace.catalog.runs.records import TERMINAL
from headrace.deployments.prefect.orchestrator import OrchestratorAway
from headrace.flows.prefect.names import CANCELLING

_CANCEL_TIMEOUT_S = 10.0
_POLL_S = 0.2
_MAX_NAMED = 3
_STATE_TEXTS = {"running": "is running", "pending": "is waiting to start"}
_CANCELLING_TEXT = "is being cancelled: its worker has not confirmed yet that it stopped"


def delete_pipeline(context: RequestContext, pipeline_id: str, *, force: bool) -> None:
    """Deletes the pipeline with its versions, runs and deployment; the rows it loaded stay.

    Raises ApiError: 404, 409 for one whose table a replication copies, and while it has runs that have not ended. With
    `force` they are cancelled and awaited for at most ten seconds; raises OrchestratorAway if that cannot be requested.
    What its runs keep at the servers of its sources is removed first; 409 if that fails, unless `force`.
    """
    with context.catalog() as catalog:
        pipeline = owned_pipeline(catalog, pipeline_id)
        if catalog.replications.copies(pipeline.id):
            refuse_replicated(catalog, pipeline)
        known, deployment_id = catalog.pipelines.active_runs(pipeline), pipeline.deployment_id
    active = _active_runs(context, known, deployment_id)
    if active and not force:
        runs = "; ".join(f"{run_id} {active[run_id]}" for run_id in sorted(active)[:_MAX_NAMED])
        more = f" and {len(active) - _MAX_NAMED} more" if len(active) > _MAX_NAMED else ""
        raise ApiError(
            409, f"The pipeline has runs that have not ended ({runs}{more}): wait, cancel, or delete it with force=true"
        )
    for run_id in active:
        context.orchestrator.cancel(run_id)
    _wait_until_ended(context, active)
    forget_sources(context, pipeline_id, force=force)
    with context.catalog() as catalog:
        owned_pipeline(catalog, pipeline_id)
        locked = catalog.pipelines.lock(pipeline_id)
        if locked is not None:
            catalog.pipelines.remove(locked)
    sync_deployment(context, pipeline_id)


def _active_runs(context: RequestContext, known: Mapping[str, str], deployment_id: str | None) -> dict[str, str]:
    """The runs that have not ended, by id, each with a text on its state: those of the catalog that have not ended in
    Prefect either, and those that only Prefect has."""
    active = {run_id: _STATE_TEXTS[status] for run_id, status in known.items()}
    try:
        for run_id in known:
            state = context.orchestrator.state(run_id)
            if state is None or state.status in TERMINAL:
                del active[run_id]
            elif state.state_name == CANCELLING:
                active[run_id] = _CANCELLING_TEXT
        if deployment_id is not None:
            runs = context.orchestrator.active_runs(deployment_id)
            stopping = {run.run_id for run in runs if run.state_name == CANCELLING}
            with context.reading() as catalog:
                # The run itself has reported its end; Prefect still waits for its idle process to exit.
                ended = catalog.runs.ended(sorted(stopping))
            for run in runs:
                if run.run_id not in ended:
                    active[run.run_id] = _CANCELLING_TEXT if run.run_id in stopping else _STATE_TEXTS[run.status]
    except OrchestratorAway:
        pass  # then the catalog's state is used
    return active


def _wait_until_ended(context: RequestContext, run_ids: Iterable[str]) -> None:
    deadline = time.monotonic() + _CANCEL_TIMEOUT_S
    for run_id in run_ids:
        while time.monotonic() < deadline:
            state = context.orchestrator.state(run_id)
            if state is None or state.status in TERMINAL:
                break
            time.sleep(_POLL_S)
