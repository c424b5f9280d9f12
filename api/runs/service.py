"""What runs can do: be started, listed, watched, and give their errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from api.context import RequestContext
from api.errors import ApiError, not_found
from api.pagination import Pagination, bad_cursor, decode_cursor, encode_cursor
from api.pipelines.deployment import runnable
from api.pipelines.service import owned_pipeline
from api.runs.launch import launch
from api.runs.schemas import RunErrors, RunItem, RunRequest, StartedRun, ValidationErrorItem
from catalog.models import PipelineRun, RunError
from catalog.repositories import ErrorPosition, TenantCatalog
from catalog.repositories.runs import position_of
from catalog.run_records import TERMINAL, RunSnapshot
from catalog.run_snapshot import read_snapshot
from deployments.orchestrator import OrchestratorAway, RunState
from flows.check import check_types
from ir.parameters import fill_in

NEWEST = 20
ERRORS_LIMIT = 1000

_RUN_ID = re.compile(r"run_[0-9a-f]{32}")
_SILENCE = timedelta(seconds=5)
"""A run reports every second; only one that has been silent for longer is worth a question to Prefect."""


def start_run(
    context: RequestContext, pipeline_id: str, body: RunRequest, idempotency_key: str | None
) -> tuple[StartedRun, bool]:
    """Asks Prefect for a run; the same key gives the same run. The second value says whether it is a new one.

    Raises ApiError: 404, 422 for a pipeline that cannot run; OrchestratorAway.
    """
    with context.catalog() as catalog:
        pipeline = owned_pipeline(catalog, pipeline_id)
        if idempotency_key is not None:
            run_id = catalog.runs.requested(pipeline_id, idempotency_key)
            run = catalog.runs.of_pipeline(pipeline_id, run_id) if run_id is not None else None
            if run is not None:
                return _started(run), False
        chosen = runnable(catalog, pipeline, body.ir_version)
    document = chosen.ir.model_dump(mode="json", exclude_none=True)
    problems = check_types(chosen.ir) + fill_in(document, body.parameters)[1]
    if problems:
        raise ApiError(422, "The pipeline cannot run", details=problems)
    scoped = None if idempotency_key is None else f"{context.principal.tenant_id}:{pipeline_id}:{idempotency_key}"
    accepted = launch(context, pipeline_id, chosen, parameters=body.parameters, idempotency_key=scoped)
    new = True
    if idempotency_key is not None:
        with context.catalog() as catalog:
            new = catalog.runs.remember_request(pipeline_id, idempotency_key, accepted.run_id)
    started = StartedRun(id=accepted.run_id, pipeline_id=pipeline_id, status="pending", created_at=accepted.created_at)
    return started, new


def list_runs(context: RequestContext, pipeline_id: str) -> list[RunItem]:
    """The newest 20 runs: Prefect's, so that those of schedules and its UI are in it, and older ones it forgot."""
    with context.catalog() as catalog:
        pipeline = owned_pipeline(catalog, pipeline_id)
        known = {run.id: run for run in catalog.runs.newest(pipeline_id, NEWEST)}
    states = context.orchestrator.runs(pipeline.deployment_id, NEWEST) if pipeline.deployment_id else []
    by_id: dict[str, RunItem] = {run.id: _item(run, None) for run in known.values()}
    by_id |= {state.run_id: _state_item(pipeline_id, known, state) for state in states}
    return sorted(by_id.values(), key=lambda item: (item.created_at, item.id), reverse=True)[:NEWEST]


def watch(context: RequestContext, pipeline_id: str, run_id: str) -> RunSnapshot:
    """All that is known of a run of the pipeline, or 404.

    A run Prefect has and the catalog does not (scheduled, or started in Prefect's UI, and still waiting) becomes known
    here; one that died without a word is ended here.
    """
    with context.reading() as catalog:
        known = catalog.runs.of_pipeline(pipeline_id, run_id)
        snapshot = read_snapshot(catalog.session, run_id) if known is not None else None
        if snapshot is None:
            owned_pipeline(catalog, pipeline_id)
    if snapshot is None:
        _adopt(context, pipeline_id, run_id)
        snapshot = _snapshot(context, run_id)
    if snapshot.status in TERMINAL or snapshot.observed_at - snapshot.touched_at < _SILENCE:
        return snapshot
    with suppress(OrchestratorAway):  # what the catalog knows is still true
        state = context.orchestrator.state(run_id)
        if state is not None and state.status in TERMINAL:
            return _end(context, run_id, state)
        if state is not None and snapshot.status == "pending":
            return replace(snapshot, status=state.status)
    return snapshot


def read_errors(
    context: RequestContext, pipeline_id: str, run_id: str, *, limit: int | None, cursor: str | None
) -> RunErrors:
    """Rejected cells by row, the first 1,000 unless a limit is given, and a cursor when there are more."""
    after = _error_position(cursor) if cursor is not None else None
    watch(context, pipeline_id, run_id)
    wanted = limit or ERRORS_LIMIT
    with context.catalog() as catalog:
        run = owned_run(catalog, pipeline_id, run_id)
        total = catalog.runs.error_count(run)
        found = catalog.runs.errors(run, limit=wanted + 1, after=after)
    page, more = found[:wanted], len(found) > wanted
    errors = RunErrors(run_id=run_id, total=total, errors=[shown_error(error) for error in page])
    if more or limit is not None or cursor is not None:
        following = encode_cursor(position_of(page[-1])) if more else None
        errors.pagination = Pagination(total=total, has_more=more, limit=wanted, cursor=following)
    return errors


def owned_run(catalog: TenantCatalog, pipeline_id: str, run_id: str) -> PipelineRun:
    """The pipeline's run; raises the 404 of one that does not exist."""
    run = catalog.runs.of_pipeline(pipeline_id, run_id)
    if run is None:
        raise not_found("run")
    return run


def shown_error(error: RunError) -> ValidationErrorItem:
    """A rejected cell as it goes out."""
    return ValidationErrorItem(row=error.row, column=error.column or None, value=error.value, error=error.error)


def _adopt(context: RequestContext, pipeline_id: str, run_id: str) -> None:
    """Makes a run known that only Prefect knows; raises 404 unless it is one of this pipeline's deployment."""
    state = context.orchestrator.state(run_id) if _RUN_ID.fullmatch(run_id) else None
    with context.catalog() as catalog:
        pipeline = owned_pipeline(catalog, pipeline_id)
        if state is None or pipeline.deployment_id is None or state.deployment_id != pipeline.deployment_id:
            raise not_found("run")
        live = runnable(catalog, pipeline)
    context.store.open(
        run_id,
        tenant_id=context.principal.tenant_id,
        pipeline_id=pipeline_id,
        ir_version=live.version,
        root_run_id=run_id,
        retry_of=None,
        load_strategy=live.load_strategy,
        created_at=state.created_at,
    )


def _end(context: RequestContext, run_id: str, state: RunState) -> RunSnapshot:
    ended = context.store.finished(
        run_id, status=state.status, failure_reason=state.failure_reason, only_if_unfinished=True
    )
    if ended and state.failure_reason is not None:
        context.store.log(run_id, "run", state.failure_reason)
    return _snapshot(context, run_id)


def _snapshot(context: RequestContext, run_id: str) -> RunSnapshot:
    snapshot = context.store.snapshot(run_id)
    if snapshot is None:
        raise not_found("run")
    return snapshot


def _item(run: PipelineRun, state: RunState | None) -> RunItem:
    """What the run said of its end counts; until then Prefect's word does."""
    status = run.status if state is None or run.status in TERMINAL else state.status
    completed_at = run.finished_at or (state.ended_at if state is not None else None)
    return RunItem(
        id=run.id, pipeline_id=run.pipeline_id, status=status, created_at=run.created_at, completed_at=completed_at
    )


def _state_item(pipeline_id: str, known: Mapping[str, PipelineRun], state: RunState) -> RunItem:
    run = known.get(state.run_id)
    if run is not None:
        return _item(run, state)
    return RunItem(
        id=state.run_id,
        pipeline_id=pipeline_id,
        status=state.status,
        created_at=state.created_at,
        completed_at=state.ended_at,
    )


def started(context: RequestContext, pipeline_id: str, run_id: str) -> StartedRun:
    """A run that has just been started, as `/run` answers."""
    with context.catalog() as catalog:
        return _started(owned_run(catalog, pipeline_id, run_id))


def _started(run: PipelineRun) -> StartedRun:
    return StartedRun(id=run.id, pipeline_id=run.pipeline_id, status=run.status, created_at=run.created_at)


def _error_position(cursor: str) -> ErrorPosition:
    match decode_cursor(cursor):
        case [int(row), str(column), str(rule), str(node_id), int(partition), int(stage)] if (
            abs(row) < 2**63 and abs(partition) < 2**31 and abs(stage) < 2**31
        ):
            return ErrorPosition(row, column, rule, node_id, partition, stage)
    raise bad_cursor()


def check_idempotency_key(key: str | None) -> str | None:
    """The key itself; 400 for one that is empty, longer than 200 characters or not printable ASCII."""
    if key is not None and not (0 < len(key) <= 200 and key.isascii() and key.isprintable()):
        raise ApiError(400, "Idempotency-Key must be 1 to 200 printable ASCII characters")
    return key
