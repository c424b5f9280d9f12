"""Handing a run to Prefect and making it known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from api.context import RequestContext
from api.pipelines.deployment import Runnable, ensure_deployed
from deployments.orchestrator import StartedRun as Accepted
from deployments.orchestrator import UnknownDeployment
from flows.run_names import run_name
from ir.parameters import ParameterValue


@dataclass(frozen=True, slots=True)
class Chain:
    """Where a retry belongs: the run it is of and when that was asked for, that run's root (None: the new run is its
    own); `origin_run_id` is set for a replay of failed rows."""

    retry_of: str
    asked_at: datetime
    root_run_id: str | None
    origin_run_id: str | None


def launch(
    context: RequestContext,
    pipeline_id: str,
    chosen: Runnable,
    *,
    chain: Chain | None = None,
    parameters: Mapping[str, ParameterValue] | None = None,
    idempotency_key: str | None = None,
) -> Accepted:
    """Asks Prefect for a run of that version. Raises OrchestratorAway: nothing has been started then."""
    flow_parameters = {
        "pipeline_id": pipeline_id,
        "tenant_id": context.principal.tenant_id,
        "ir_version": chosen.version,
        "retry_of": chain.retry_of if chain is not None else None,
        "parameters": dict(parameters or {}),
    }
    retried_at = chain.asked_at if chain is not None else None
    name = run_name(chosen.pipeline_name, datetime.now(UTC), retry_of=retried_at)
    accepted = _ask_prefect(context, pipeline_id, flow_parameters, idempotency_key, name)
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
    )
    return accepted


def _ask_prefect(
    context: RequestContext, pipeline_id: str, parameters: dict[str, Any], idempotency_key: str | None, name: str
) -> Accepted:
    def start(deployment_id: str) -> Accepted:
        return context.orchestrator.start(
            deployment_id, parameters=parameters, idempotency_key=idempotency_key, name=name
        )

    deployment_id = ensure_deployed(context, pipeline_id)
    try:
        return start(deployment_id)
    except UnknownDeployment:  # somebody deleted it in Prefect
        deployment_id = ensure_deployed(context, pipeline_id, anew=True)
        return start(deployment_id)
