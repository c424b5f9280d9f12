"""Deleting a pipeline: not while it runs, unless that is stopped too."""

from __future__ import annotations

import time
from collections.abc import Iterable

from api.context import RequestContext
from api.errors import ApiError
from api.pipelines.deployment import follow
from api.pipelines.service import owned_pipeline
from catalog.run_records import TERMINAL
from deployments.orchestrator import OrchestratorAway

_PATIENCE_S = 10.0
_LOOK_S = 0.2


def delete_pipeline(context: RequestContext, pipeline_id: str, *, force: bool) -> None:
    """Deletes it with its versions, runs and deployment; the rows it loaded stay.

    Raises ApiError: 404, 409 while a run is under way. With `force` such a run is cancelled first and waited for, ten
    seconds at most; OrchestratorAway when that cannot be asked for.
    """
    with context.catalog() as catalog:
        pipeline = owned_pipeline(catalog, pipeline_id)
        known, deployment_id = catalog.pipelines.active_runs(pipeline), pipeline.deployment_id
    active = _under_way(context, known, deployment_id)
    if active and not force:
        runs = ", ".join(sorted(active)[:3])
        raise ApiError(409, f"The pipeline is running ({runs}); wait, cancel, or delete it with force=true")
    for run_id in active:
        context.orchestrator.cancel(run_id)
    _wait(context, active)
    with context.catalog() as catalog:
        owned_pipeline(catalog, pipeline_id)
        locked = catalog.pipelines.lock(pipeline_id)
        if locked is not None:
            catalog.pipelines.remove(locked)
    follow(context, pipeline_id)


def _under_way(context: RequestContext, known: Iterable[str], deployment_id: str | None) -> set[str]:
    """The runs that have not ended: the catalog's unless Prefect knows better, and those only Prefect knows."""
    active = set(known)
    try:
        for run_id in known:
            state = context.orchestrator.state(run_id)
            if state is None or state.status in TERMINAL:
                active.discard(run_id)
        if deployment_id is not None:
            runs = context.orchestrator.runs(deployment_id)
            active |= {run.run_id for run in runs if run.status not in TERMINAL}
    except OrchestratorAway:
        pass  # then the catalog's word counts
    return active


def _wait(context: RequestContext, run_ids: Iterable[str]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    for run_id in run_ids:
        while time.monotonic() < deadline:
            state = context.orchestrator.state(run_id)
            if state is None or state.status in TERMINAL:
                break
            time.sleep(_LOOK_S)
