"""Operations on runs of replications: start, list, watch, retry, cancel."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace.api.context import RequestContext
from headrace.api.errors import ApiError, not_found
from headrace.api.pipelines.deployment import ensure_deployed
from headrace.api.replications.run_schemas import ReplicationRunItem, run_item
from headrace.api.replications.service import owned_replication
from headrace.api.runs.launch import check_waiting_limit
from headrace.catalog.models import Replication
from headrace.catalog.replications.records import UNSUCCESSFUL, ReplicationRunSnapshot
from headrace.catalog.replications.snapshot import read_replication_run, read_replication_runs
from headrace.catalog.replications.store import ReplicationRunStore
from headrace.catalog.runs.records import TERMINAL
from headrace.deployments.prefect.orchestrator import OrchestratorAway, StartedRun, UnknownDeployment
from headrace.flows.prefect.names import run_name

NEWEST = 20

_RUN_ID = re.compile(r"run_[0-9a-f]{32}")
_STALE_AFTER = timedelta(seconds=5)
"""Runs report every half second; a run that has been silent for longer is looked up in Prefect."""
_DELETED = "The run was deleted in Prefect before it ended"


def start_run(context: RequestContext, replication_id: str, key: str | None) -> tuple[ReplicationRunItem, bool]:
    """Starts a run; the same key returns the same run. The second value is true if it is new. Raises ApiError: 404,
    429; OrchestratorAway."""
    with context.catalog() as catalog:
        replication = owned_replication(catalog, replication_id)
        before = None if key is None else catalog.replications.requested(replication_id, key)
    if before is not None:
        return run_item(_snapshot(context, before)), False
    started = _launch(context, replication, retry_of=None, key=key)
    new = True
    if key is not None:
        with context.catalog() as catalog:
            new = catalog.replications.remember_request(replication_id, key, started.run_id)
    return run_item(_snapshot(context, started.run_id)), new


def list_runs(context: RequestContext, replication_id: str) -> list[ReplicationRunItem]:
    """The newest 20 runs. Raises ApiError 404."""
    with context.reading() as catalog:
        owned_replication(catalog, replication_id)
        ids = [each.id for each in catalog.replications.runs(replication_id, NEWEST)]
        return [run_item(each) for each in read_replication_runs(catalog.session, ids)]


def watch(context: RequestContext, replication_id: str, run_id: str) -> ReplicationRunSnapshot:
    """The current state of a run; one that ended in Prefect without reporting it is ended in the catalog. Raises
    ApiError 404."""
    with context.reading() as catalog:
        owned_replication(catalog, replication_id)
        known = catalog.replications.run(replication_id, run_id) if _RUN_ID.fullmatch(run_id) else None
        if known is None:
            raise not_found("run")
        run = read_replication_run(catalog.session, run_id)
    if run is None:
        raise not_found("run")
    if run.status in TERMINAL or run.observed_at - run.touched_at < _STALE_AFTER:
        return run
    with suppress(OrchestratorAway):  # then the catalog's state is returned
        if end_if_over(context, run_id):
            return _snapshot(context, run_id)
    return run


def end_if_over(context: RequestContext, run_id: str) -> bool:
    """Ends a run in the catalog that has ended in Prefect; whether it did. Raises OrchestratorAway."""
    state = context.orchestrator.state(run_id)
    if state is not None and state.status not in TERMINAL:
        return False
    status, reason = ("failed", _DELETED) if state is None else (state.status, state.failure_reason)
    return _store(context).finished(run_id, status=status, failure_reason=reason)


def retry_run(context: RequestContext, replication_id: str, run_id: str) -> ReplicationRunItem:
    """Starts a run of the tables that a run did not copy. Raises ApiError: 404, 422 for a run that has not ended or
    that copied all of them; OrchestratorAway."""
    run = watch(context, replication_id, run_id)
    if run.status not in TERMINAL:
        raise ApiError(422, f"The run has not ended: it is {run.status}")
    if run.status != "failed" or (run.tables and not any(each.status in UNSUCCESSFUL for each in run.tables)):
        raise ApiError(422, "The run has copied all of its tables: start a new one")
    with context.reading() as catalog:
        replication = owned_replication(catalog, replication_id)
    started = _launch(context, replication, retry_of=run, key=None)
    return run_item(_snapshot(context, started.run_id))


def cancel_run(context: RequestContext, replication_id: str, run_id: str) -> ReplicationRunItem:
    """Requests the end of a run and of the runs of its tables. Raises ApiError: 404, 422 for a run that has ended;
    OrchestratorAway."""
    run = watch(context, replication_id, run_id)
    if run.status in TERMINAL:
        raise ApiError(422, f"The run has ended already: it is {run.status}")
    if not context.orchestrator.cancel(run_id):
        raise ApiError(422, "The run has ended already")
    for table in _snapshot(context, run_id).tables:
        if table.status == "running" and table.child_run_id is not None:
            context.orchestrator.cancel(table.child_run_id)
    end_if_over(context, run_id)  # one that had not started is over at once
    return run_item(_snapshot(context, run_id))


def _launch(
    context: RequestContext, replication: Replication, *, retry_of: ReplicationRunSnapshot | None, key: str | None
) -> StartedRun:
    check_waiting_limit(context)
    tenant_id = context.principal.tenant_id
    parameters: dict[str, Any] = {"replication_id": replication.id, "tenant_id": tenant_id}
    if retry_of is not None:
        parameters["retry_of"] = retry_of.id
    retried_at = retry_of.created_at if retry_of is not None else None
    name = run_name(replication.name, datetime.now(UTC), retry_of=retried_at)
    scoped = None if key is None else f"{tenant_id}:{replication.id}:{key}"

    def start(deployment_id: str) -> StartedRun:
        return context.orchestrator.start(deployment_id, parameters=parameters, idempotency_key=scoped, name=name)

    try:
        started = start(ensure_deployed(context, replication.id))
    except UnknownDeployment:  # it was deleted in Prefect
        started = start(ensure_deployed(context, replication.id, force=True))
    _store(context).open(
        started.run_id,
        replication_id=replication.id,
        tenant_id=tenant_id,
        version=replication.version,
        retry_of=retry_of.id if retry_of is not None else None,
        created_at=started.created_at,
    )
    return started


def _store(context: RequestContext) -> ReplicationRunStore:
    return ReplicationRunStore(context.services.engine, keyring=context.keyring)


def _snapshot(context: RequestContext, run_id: str) -> ReplicationRunSnapshot:
    run = _store(context).snapshot(run_id)
    if run is None:
        raise not_found("run")
    return run
