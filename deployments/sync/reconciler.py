"""Updates Prefect's deployments from the catalog: one pipeline, or all that changed while Prefect was unavailable.

The catalog records every change of a pipeline in the same transaction (`catalog.deployment_changes`); the record is
deleted when Prefect has the change. No change is lost when a process dies, and without changes Prefect is not queried.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import structlog
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from headrace.catalog.advisory_locks import LockTimeout
from headrace.catalog.deployment_changes import DeployedPipeline, DeploymentChanges
from headrace.deployments.prefect.orchestrator import OrchestratorAway, OrchestratorRefused
from headrace.deployments.prefect.registered_pipeline import RegisteredPipeline
from headrace.ir.schedules.schedule import Schedule

_log = structlog.get_logger("headrace.reconcile")

_AT_ONCE = 50
_THREADS = 3
"""Concurrent requests to Prefect: while one waits for its database, another is processed."""
_PAUSE_S = 2.0
_DRAINING_S = 10.0
_FIRST_RETRY_S, _LONGEST_RETRY_S = 5.0, 600.0
_COMPARE_S = 600.0

_SCHEDULES: TypeAdapter[Schedule] = TypeAdapter(Schedule)


class Deployments(Protocol):
    """The methods of `deployments.prefect.orchestrator.Orchestrator` that are used here."""

    def register(self, pipeline: RegisteredPipeline, *, first: bool = False) -> str: ...

    def retire(self, pipeline_id: str, *, keep: str) -> bool: ...

    def unregister(self, pipeline_id: str) -> bool: ...

    def registered(self) -> dict[str, str]: ...


def registration(pipeline: DeployedPipeline) -> RegisteredPipeline | None:
    """The registration that Prefect should have; None for a pipeline that cannot run."""
    if pipeline.live_version is None:
        return None
    schedule = pipeline.live_schedule
    return RegisteredPipeline(
        id=pipeline.id,
        name=pipeline.name,
        tenant_id=pipeline.tenant_id,
        schedule=None if schedule is None else _SCHEDULES.validate_python(schedule),
        ir_version=max(pipeline.live_version, 0) or None,
        parallelism=pipeline.execution_config.get("parallelism"),
        active=not pipeline.paused,
        scheduled_since=pipeline.scheduled_since,
        run_parameters=tuple(pipeline.live_parameters or ()),
    )


def _wanted_state(pipeline: DeployedPipeline) -> str | None:
    try:
        wanted = registration(pipeline)
    except ValidationError:  # reported by the sweep
        return None
    return None if wanted is None else wanted.standing


class Reconciler:
    """Applies the recorded changes. Safe to run in several threads and processes at once."""

    def __init__(self, engine: Engine, orchestrator: Deployments) -> None:
        self._changes, self._orchestrator = DeploymentChanges(engine), orchestrator
        self._compare_due = 0.0

    def step(self) -> float:
        """Does a sweep, and a comparison when one is due. Returns the seconds until the next step. Raises
        OrchestratorAway."""
        if time.monotonic() >= self._compare_due:
            self.compare()
            self._compare_due = time.monotonic() + _COMPARE_S
        return _PAUSE_S if self.sweep() < _AT_ONCE else 0.0

    def bring(self, pipeline_id: str, *, force: bool = False) -> str | None:
        """Applies a pipeline's change now; returns the deployment's id, None when the pipeline needs none.

        Sends no request when Prefect is up to date, unless `force`. Raises OrchestratorAway and OrchestratorRefused;
        the change then stays recorded, and a later sweep tries again.
        """
        pipeline = self._changes.look(pipeline_id)
        if pipeline is not None and pipeline.change is None and pipeline.deployment_id and not force:
            return pipeline.deployment_id
        try:
            with self._changes.alone(pipeline_id, wait=True):
                return self._follow(pipeline_id, force=force)
        except LockTimeout as error:  # another process registers it, and waits for Prefect
            raise OrchestratorAway("Prefect has not answered another request about the pipeline yet") from error

    def sweep(self) -> int:
        """Applies the changes that are due; returns how many. Raises OrchestratorAway; a refusal is recorded with the
        change."""
        due = self._changes.due(_AT_ONCE)
        if len(due) < 2:
            return sum(map(self._follow_due, due))
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="reconciler") as pool:
            return sum(pool.map(self._follow_due, due))

    def _follow_due(self, pipeline_id: str) -> int:
        with self._changes.alone(pipeline_id, wait=False) as mine:
            if not mine:
                return 0
            try:
                self._follow(pipeline_id)
                return 1
            except (OrchestratorAway, SQLAlchemyError):
                raise
            except OrchestratorRefused as refusal:
                _log.warning("prefect refuses a pipeline", pipeline=pipeline_id, reason=str(refusal))
            except Exception as error:  # noqa: BLE001 (one broken pipeline must not block the others)
                _log.exception("a pipeline cannot be registered", pipeline=pipeline_id)
                self._changes.later(pipeline_id, f"{type(error).__name__}: {error}", _LONGEST_RETRY_S)
        return 0

    def compare(self) -> int:
        """Records a change for each pipeline whose deployment is missing or differs from what this release would
        register; returns how many. Deployments of pipelines unknown to this catalog are ignored: they may belong to
        another Headrace."""
        has = self._orchestrator.registered()
        differing = [each.id for each in self._changes.runnable() if has.get(each.id) != _wanted_state(each)]
        self._changes.enqueue(differing)
        return len(differing)

    def _follow(self, pipeline_id: str, *, force: bool = False) -> str | None:
        """Applies the change; the caller holds the pipeline's lock."""
        pipeline = self._changes.look(pipeline_id)
        change = pipeline.change if pipeline is not None else self._changes.change_of(pipeline_id)
        if pipeline is not None and change is None and not force:
            return pipeline.deployment_id  # applied meanwhile
        wanted = registration(pipeline) if pipeline is not None else None
        try:
            if wanted is None:
                if self._orchestrator.unregister(pipeline_id):
                    self._changes.registered(pipeline_id, None, follows=change)
                else:
                    self._changes.later(pipeline_id, None, _DRAINING_S)  # its runs have not ended
                return None
            first = pipeline is not None and pipeline.deployment_id is None
            deployment_id = self._orchestrator.register(wanted, first=first)
            if first:  # never registered before, so there is no former name
                self._changes.registered(pipeline_id, deployment_id, follows=change)
                return deployment_id
            self._changes.registered(pipeline_id, deployment_id)
            settled = self._orchestrator.retire(pipeline_id, keep=deployment_id)
        except OrchestratorRefused as refusal:
            pause = _FIRST_RETRY_S * 2.0 ** min(self._changes.attempts(pipeline_id), 10)
            self._changes.later(pipeline_id, str(refusal), min(pause, _LONGEST_RETRY_S))
            raise
        if not settled:
            self._changes.later(pipeline_id, None, _DRAINING_S)  # runs under its former name have not ended
        elif change is not None:
            self._changes.done(pipeline_id, change)
        return deployment_id
