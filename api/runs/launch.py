"""Starts a run in Prefect and records it in the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from headrace.api.context import RequestContext
from headrace.api.errors import ApiError
from headrace.api.pipelines.deployment import Runnable, ensure_deployed
from headrace.deployments.prefect.orchestrator import StartedRun as Accepted
from headrace.deployments.prefect.orchestrator import UnknownDeployment
from headrace.flows.prefect.names import run_name
from headrace.ir.parameters import ParameterValue

_RETRY_AFTER_S = 30


@dataclass(frozen=True, slots=True)
class RetryChain:
    """The runs that a retry refers to: the retried run and when it was requested, and its root run (None: the new run
    is its own root). `origin_run_id` is set for a replay of failed rows."""

    retry_of: str
    asked_at: datetime
    root_run_id: str | None
    origin_run_id: str | None


def launch(
    context: RequestContext,
    pipeline_id: str,
    chosen: Runnable,
    *,
    chain: RetryChain | None = None,
    parameters: Mapping[str, ParameterValue] | None = None,
    idempotency_key: str | None = None,
) -> Accepted:
    """Starts a run of the chosen version; the same key of a caller returns the same run. Raises OrchestratorAway if
    nothing was started, and ApiError 429 when the tenant has reached its limit of waiting runs."""
    check_waiting_limit(context)
    flow_parameters = {
        "pipeline_id": pipeline_id,
        "tenant_id": context.principal.tenant_id,
        "ir_version": chosen.version,
        "retry_of": chain.retry_of if chain is not None else None,
        "parameters": dict(parameters or {}),
    }
    retried_at = chain.asked_at if chain is not None else None
    name = run_name(chosen.pipeline_name, datetime.now(UTC), retry_of=retried_at)
    scoped = None if idempotency_key is None else f"{context.principal.tenant_id}:{pipeline_id}:{idempotency_key}"
    accepted = _start_in_prefect(context, pipeline_id, flow_parameters, scoped, name)
    context.store.open(
        accepted.run_id,
        tenant_id=context.principal.tenant_id,
        pipeline_id=pipeline_id,
        ir_version=chosen.version,
        root_run_id=(chain.root_run_id if chain is not None else None) or accepted.run_id,
        retry_of=chain.retry_of if chain is not None else None,
        origin_run_id=chain.origin_run_id if chain is not None else None,
        parameters=parameters,
        load_strategy=chosen.load_strategy,
        created_at=accepted.created_at,
        streams=chosen.streams and (chain is None or chain.origin_run_id is None),
    )
    return accepted


def check_waiting_limit(context: RequestContext) -> None:
    """Raises ApiError 429 when the tenant has reached its limit of waiting runs."""
    limit = context.limit("waiting_runs")
    with context.reading() as catalog:
        waiting = catalog.runs.unfinished("pending", at_most=limit)
    if waiting >= limit:
        context.services.metrics.refused("waiting_runs")
        message = f"The tenant has {limit} waiting runs, the limit (HEADRACE_MAX_WAITING_RUNS): wait, or cancel some"
        raise ApiError(429, message, headers={"Retry-After": str(_RETRY_AFTER_S)})


def _start_in_prefect(
    context: RequestContext, pipeline_id: str, parameters: dict[str, Any], idempotency_key: str | None, name: str
) -> Accepted:
    def start(deployment_id: str) -> Accepted:
        return context.orchestrator.start(
            deployment_id, parameters=parameters, idempotency_key=idempotency_key, name=name
        )

    deployment_id = ensure_deployed(context, pipeline_id)
    try:
        return start(deployment_id)
    except UnknownDeployment:  # it was deleted in Prefect
        deployment_id = ensure_deployed(context, pipeline_id, force=True)
        return start(deployment_id)
