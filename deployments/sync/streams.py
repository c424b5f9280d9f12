"""Starts streams again: of a pipeline that should stream and has no run, because its last one died, or the pipeline was
paused meanwhile. A run that goes on begins where the last one ended; one that failed is retried."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

from headrace.catalog.errors import NoIr, PipelineMissing
from headrace.catalog.runs.store import RunStore
from headrace.catalog.runs.streams import EndedStream
from headrace.deployments.prefect.orchestrator import OrchestratorRefused, StartedRun, UnknownDeployment
from headrace.flows.prefect.names import CANCELLED, next_run_key, run_name

_log = structlog.get_logger("headrace.streams")

_EVERY_S = 2.0
_HANDOVER_S = 5.0
"""A run that ended well starts the next one itself, within this time."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 600.0


class StreamRuns(Protocol):
    """The methods of `deployments.prefect.orchestrator.Orchestrator` that are used here."""

    def start(
        self, deployment_id: str, *, parameters: dict[str, Any], idempotency_key: str | None, name: str | None = None
    ) -> StartedRun: ...

    def paused(self, deployment_id: str) -> bool: ...


def starts_at(ended: EndedStream) -> datetime:
    """When the stream is started again: at once after it has run for long, later and later while it fails soon after
    its start."""
    if ended.status != "failed":
        return ended.ended_at + timedelta(seconds=_HANDOVER_S)
    if not ended.failures:
        return ended.ended_at
    return ended.ended_at + timedelta(seconds=min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** (ended.failures - 1)))


def failing(ended: EndedStream) -> str | None:
    """What is to be said of a stream that fails again and again; None of any other."""
    if ended.status != "failed" or not ended.failures:
        return None
    often = "once" if ended.failures == 1 else f"{ended.failures} times in a row"
    when = f"{starts_at(ended):%Y-%m-%d %H:%M:%S} UTC"
    return f"The stream failed {often}, last {ended.run_id}: {ended.failure_reason}. It is started again at {when}"


class StreamKeeper:
    """Safe to run in several processes: a run is followed by one run, whoever starts it."""

    def __init__(self, store: RunStore, orchestrator: StreamRuns, deployment_of: Callable[[str], str | None]) -> None:
        """`deployment_of` gives the id of a pipeline's deployment, which it registers first where that is missing."""
        self._store, self._orchestrator, self._deployment_of = store, orchestrator, deployment_of

    def step(self) -> float:
        """Starts what is due; returns the seconds until the next step. Raises OrchestratorAway."""
        for ended in self._store.streams.ended(CANCELLED):
            if ended.now >= starts_at(ended):
                try:
                    self._start(ended)
                except (OrchestratorRefused, UnknownDeployment, PipelineMissing, NoIr) as refusal:
                    _log.warning("a stream cannot be started", pipeline=ended.pipeline_id, reason=str(refusal))
        return _EVERY_S

    def _start(self, ended: EndedStream) -> None:
        deployment_id = self._deployment_of(ended.pipeline_id)
        if deployment_id is None or self._orchestrator.paused(deployment_id):
            return
        retries = ended.status == "failed"
        accepted = self._orchestrator.start(
            deployment_id,
            parameters={
                "pipeline_id": ended.pipeline_id,
                "tenant_id": ended.tenant_id,
                "retry_of": ended.run_id if retries else None,
                "parameters": dict(ended.parameters),
            },
            idempotency_key=next_run_key(ended.tenant_id, ended.pipeline_id, ended.run_id),
            name=run_name(ended.pipeline_name, ended.now, retry_of=ended.created_at if retries else None),
        )
        self._store.open(
            accepted.run_id,
            tenant_id=ended.tenant_id,
            pipeline_id=ended.pipeline_id,
            ir_version=ended.live_version,
            root_run_id=ended.root_run_id if retries else accepted.run_id,
            retry_of=ended.run_id if retries else None,
            load_strategy=ended.load_strategy,
            parameters=ended.parameters,
            created_at=accepted.created_at,
            streams=True,
        )
        why = failing(ended) or f"{ended.run_id} has ended ({ended.failure_reason or ended.status})"
        self._store.log(accepted.run_id, "run", f"The stream is started again: {why}", level="warning")
        _log.info("stream started again", pipeline=ended.pipeline_id, run=accepted.run_id, after=ended.run_id)
