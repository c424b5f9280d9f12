"""Operations on runs: start, list, read, and read errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from headrace.api.context import RequestContext
from headrace.api.errors import ApiError, not_found
from headrace.api.pagination import Pagination, bad_cursor, decode_cursor, encode_cursor
from headrace.api.pipelines.deployment import runnable
from headrace.api.pipelines.service import owned_pipeline
from headrace.api.runs.error_schemas import ErrorSource, ErrorTotal, RunErrorItem, RunErrors, RunErrorsSummary
from headrace.api.runs.launch import launch
from headrace.api.runs.progress import with_waiting_reason
from headrace.api.runs.schemas import RunItem, RunRequest, StartedRun
from headrace.catalog.models import PipelineRun, RunError
from headrace.catalog.repositories import ErrorPosition, TenantCatalog
from headrace.catalog.repositories.runs import WARNED, ErrorFilter, position_of
from headrace.catalog.runs.records import TERMINAL, RunSnapshot
from headrace.catalog.runs.snapshot import read_snapshot
from headrace.deployments.prefect.orchestrator import OrchestratorAway, RunState
from headrace.flows.validation.check import check_types
from headrace.ir.parameters import fill_parameters

NEWEST = 20
ERRORS_LIMIT = 1000
TOTALS_LIMIT = 1000

_RUN_ID = re.compile(r"run_[0-9a-f]{32}")
_STALE_AFTER = timedelta(seconds=5)
"""A run reports every second; Prefect is queried only for one that has not reported for longer than this."""


def start_run(
    context: RequestContext, pipeline_id: str, body: RunRequest, idempotency_key: str | None
) -> tuple[StartedRun, bool]:
    """Starts a run in Prefect; the same key returns the same run. The second value is true if it is new.

    Raises ApiError: 404, 409 for a pipeline that streams already, 422 for one that cannot run; OrchestratorAway.
    """
    with context.catalog() as catalog:
        pipeline = owned_pipeline(catalog, pipeline_id)
        if (run := started_before(catalog, pipeline_id, idempotency_key)) is not None:
            return run, False
        chosen = runnable(catalog, pipeline, body.ir_version)
        streams = pipeline.execution_config.get("mode") == "streaming"
    if streams and (running := context.store.streams.streaming(pipeline_id)) is not None:
        raise ApiError(409, f"The pipeline is streaming already: {running}. Cancel that run to start another one")
    document = chosen.ir.model_dump(mode="json", exclude_none=True)
    problems = check_types(chosen.ir) + fill_parameters(document, body.parameters)[1]
    if problems:
        raise ApiError(422, "The pipeline cannot run", details=problems)
    accepted = launch(context, pipeline_id, chosen, parameters=body.parameters, idempotency_key=idempotency_key)
    new = True
    if idempotency_key is not None:
        with context.catalog() as catalog:
            new = catalog.runs.remember_request(pipeline_id, idempotency_key, accepted.run_id)
    started = StartedRun(id=accepted.run_id, pipeline_id=pipeline_id, status="pending", created_at=accepted.created_at)
    return started, new


def started_before(catalog: TenantCatalog, pipeline_id: str, idempotency_key: str | None) -> StartedRun | None:
    """The run that the key started; None without a key or a run."""
    run_id = None if idempotency_key is None else catalog.runs.requested(pipeline_id, idempotency_key)
    run = None if run_id is None else catalog.runs.of_pipeline(pipeline_id, run_id)
    return None if run is None else _started(run)


def list_runs(context: RequestContext, pipeline_id: str) -> list[RunItem]:
    """The newest 20 runs: Prefect's, including those of schedules and its UI, and those only the catalog has."""
    with context.catalog() as catalog:
        pipeline = owned_pipeline(catalog, pipeline_id)
        known = {run.id: run for run in catalog.runs.newest(pipeline_id, NEWEST)}
    states = context.orchestrator.runs(pipeline.deployment_id, NEWEST) if pipeline.deployment_id else []
    by_id: dict[str, RunItem] = {run.id: _item(run, None) for run in known.values()}
    by_id |= {state.run_id: _state_item(pipeline_id, known, state) for state in states}
    return sorted(by_id.values(), key=lambda item: (item.created_at, item.id), reverse=True)[:NEWEST]


def watch(context: RequestContext, pipeline_id: str, run_id: str) -> RunSnapshot:
    """The current state of a run of the pipeline. Raises ApiError 404.

    A run that only Prefect has (scheduled, or started in its UI, and still waiting) is added to the catalog; one that
    ended in Prefect without reporting its end is ended in the catalog.
    """
    with context.reading() as catalog:
        known = catalog.runs.of_pipeline(pipeline_id, run_id)
        snapshot = read_snapshot(catalog.session, run_id) if known is not None else None
        if snapshot is None:
            owned_pipeline(catalog, pipeline_id)
        else:
            snapshot = with_waiting_reason(catalog, snapshot, context.limit("running_runs"))
    if snapshot is None:
        _adopt(context, pipeline_id, run_id)
        snapshot = _snapshot(context, run_id)
    if snapshot.status in TERMINAL or snapshot.observed_at - snapshot.touched_at < _STALE_AFTER:
        return snapshot
    with suppress(OrchestratorAway):  # then the catalog's state is returned
        state = context.orchestrator.state(run_id)
        if state is not None and state.status in TERMINAL:
            return _end(context, run_id, state)
        if state is not None and snapshot.status == "pending":
            return replace(snapshot, status=state.status)
    return snapshot


def pipeline_of(context: RequestContext, run_id: str) -> str:
    """The id of the pipeline of a run. Raises ApiError 404."""
    with context.reading() as catalog:
        run = catalog.runs.get(run_id)
    if run is not None:
        return run.pipeline_id
    state = context.orchestrator.state(run_id) if _RUN_ID.fullmatch(run_id) else None
    if state is not None and state.deployment_id is not None:
        with context.reading() as catalog:
            pipeline = catalog.pipelines.of_deployment(state.deployment_id)
        if pipeline is not None:
            return pipeline.id
    raise not_found("run")


def read_errors(
    context: RequestContext, pipeline_id: str, run_id: str, only: ErrorFilter, *, limit: int | None, cursor: str | None
) -> RunErrors:
    """Errors in order of rows, at most `limit` (default 1,000), with a cursor when there are more."""
    after = error_position(cursor) if cursor is not None else None
    watch(context, pipeline_id, run_id)
    wanted = limit or ERRORS_LIMIT
    with context.catalog() as catalog:
        run = owned_run(catalog, pipeline_id, run_id)
        total = catalog.runs.error_count(run, only)
        warned = catalog.runs.error_count(run, WARNED)
        found = catalog.runs.errors(run, only, limit=wanted + 1, after=after)
    page, more = found[:wanted], len(found) > wanted
    errors = RunErrors(run_id=run_id, total=total, errors=[shown_error(error) for error in page])
    if warned:
        errors.warned = warned
    if more or limit is not None or cursor is not None:
        following = encode_cursor(position_of(page[-1])) if more else None
        errors.pagination = Pagination(total=total, has_more=more, limit=wanted, cursor=following)
    return errors


def owned_run(catalog: TenantCatalog, pipeline_id: str, run_id: str) -> PipelineRun:
    """The pipeline's run. Raises ApiError 404."""
    run = catalog.runs.of_pipeline(pipeline_id, run_id)
    if run is None:
        raise not_found("run")
    return run


def summarise_errors(context: RequestContext, pipeline_id: str, run_id: str, only: ErrorFilter) -> RunErrorsSummary:
    """Numbers of errors by node, rule, kind, column and file. Raises ApiError 404."""
    watch(context, pipeline_id, run_id)
    with context.catalog() as catalog:
        run = owned_run(catalog, pipeline_id, run_id)
        counts = {kind: catalog.runs.error_count(run, replace(only, kind=kind)) for kind in ("failed", "warned")}
        counts |= {kind: 0 for kind in counts if only.kind not in (None, kind)}
        found = catalog.runs.error_totals(run, only, limit=TOTALS_LIMIT + 1)
    totals = [ErrorTotal.model_validate(each._replace(column=each.column or None)) for each in found[:TOTALS_LIMIT]]
    return RunErrorsSummary(run_id=run_id, totals=totals, more=len(found) > TOTALS_LIMIT, **counts)


def shown_error(error: RunError) -> RunErrorItem:
    """The response for one error."""
    sources = [ErrorSource(**each) for each in error.sources]
    return RunErrorItem(
        row=error.row,
        column=error.column or None,
        value=error.value,
        error=error.error,
        node=error.node_id,
        rule=error.rule,
        kind="warned" if error.warning else "failed",
        stage=error.stage,
        file=sources[0].file if sources else None,
        source=sources[0] if sources else None,
        sources=sources,
    )


def _adopt(context: RequestContext, pipeline_id: str, run_id: str) -> None:
    """Adds a run that only Prefect has to the catalog. 404 unless it is of the pipeline's deployment."""
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
    if state.skip_reason is not None:
        context.store.skipped(run_id, state.skip_reason)
        return _snapshot(context, run_id)
    reason = state.failure_reason
    context.store.finished(run_id, status=state.status, failure_reason=reason, only_if_unfinished=True, error=reason)
    return _snapshot(context, run_id)


def _snapshot(context: RequestContext, run_id: str) -> RunSnapshot:
    snapshot = context.store.snapshot(run_id)
    if snapshot is None:
        raise not_found("run")
    return snapshot


def _item(run: PipelineRun, state: RunState | None) -> RunItem:
    """The state that the run reported at its end takes precedence; until then Prefect's is shown."""
    status = run.status if state is None or run.status in TERMINAL else state.status
    completed_at = run.finished_at or (state.ended_at if state is not None else None)
    return RunItem(
        id=run.id,
        pipeline_id=run.pipeline_id,
        status=status,
        created_at=run.created_at,
        completed_at=completed_at,
        skip_reason=run.skip_reason or (state.skip_reason if state is not None else None),
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
        skip_reason=state.skip_reason,
    )


def started(context: RequestContext, pipeline_id: str, run_id: str) -> StartedRun:
    """The response of `/run` for a run that has just been started."""
    with context.catalog() as catalog:
        return _started(owned_run(catalog, pipeline_id, run_id))


def _started(run: PipelineRun) -> StartedRun:
    return StartedRun(id=run.id, pipeline_id=run.pipeline_id, status=run.status, created_at=run.created_at)


def error_position(cursor: str) -> ErrorPosition:
    """The position in a cursor of errors. Raises ApiError 400."""
    match decode_cursor(cursor):
        case [int(row), str(column), str(rule), str(node_id), int(partition), int(stage), bool(warned)] if (
            abs(row) < 2**63 and abs(partition) < 2**31 and abs(stage) < 2**31
        ):
            return ErrorPosition(row, column, rule, node_id, partition, stage, warned)
    raise bad_cursor()


def check_idempotency_key(key: str | None) -> str | None:
    """Returns the key. Raises ApiError 400 if it is empty, longer than 200 characters or not printable ASCII."""
    if key is not None and not (0 < len(key) <= 200 and key.isascii() and key.isprintable()):
        raise ApiError(400, "Idempotency-Key must be 1 to 200 printable ASCII characters")
    return key
