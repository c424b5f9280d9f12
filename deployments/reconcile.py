"""Brings Prefect's deployments in line with the catalog: one pipeline, or whatever changed while Prefect was away.

The catalog notes every change of a pipeline in the transaction that makes it (`catalog.deployment_changes`); a note
goes when Prefect has followed. So nothing is lost, whoever dies when, and with nothing to do nothing is asked.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import structlog
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from catalog.deployment_changes import DeployedPipeline, DeploymentChanges
from deployments.orchestrator import OrchestratorAway, OrchestratorRefused
from deployments.pipeline import RegisteredPipeline
from ir.schedule import Schedule

_log = structlog.get_logger("headrace.reconcile")

_AT_ONCE = 50
_ASKING = 3
"""Questions to Prefect at the same time: while one waits for its database the other is worked on."""
_PAUSE_S = 2.0
_DRAINING_S = 10.0
_FIRST_RETRY_S, _LONGEST_RETRY_S = 5.0, 600.0
_COMPARE_S = 600.0

_SCHEDULES: TypeAdapter[Schedule] = TypeAdapter(Schedule)


class Deployments(Protocol):
    """What is asked of `deployments.orchestrator.Orchestrator`; see there."""

    def register(self, pipeline: RegisteredPipeline, *, first: bool = False) -> str: ...

    def retire(self, pipeline_id: str, *, keep: str) -> bool: ...

    def unregister(self, pipeline_id: str) -> bool: ...

    def registered(self) -> dict[str, str]: ...


def registration(pipeline: DeployedPipeline) -> RegisteredPipeline | None:
    """What Prefect should have of the pipeline; None when it cannot run."""
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
    )


def _standing(pipeline: DeployedPipeline) -> str | None:
    try:
        wanted = registration(pipeline)
    except ValidationError:  # the sweep will say so
        return None
    return None if wanted is None else wanted.standing


class Reconciler:
    """Follows the catalog's notes. Safe to run in any number of threads and processes at once."""

    def __init__(self, engine: Engine, orchestrator: Deployments) -> None:
        self._changes, self._orchestrator = DeploymentChanges(engine), orchestrator
        self._compare_due = 0.0

    def step(self) -> float:
        """A sweep, and a comparison when one is due; gives the seconds until the next. Raises OrchestratorAway."""
        if time.monotonic() >= self._compare_due:
            self.compare()
            self._compare_due = time.monotonic() + _COMPARE_S
        return _PAUSE_S if self.sweep() < _AT_ONCE else 0.0

    def bring(self, pipeline_id: str, *, anew: bool = False) -> str | None:
        """Makes Prefect follow now; the deployment's id, None when the pipeline has or needs none.

        Asks Prefect nothing when it already has the pipeline as it is, unless `anew`. Raises OrchestratorAway and
        OrchestratorRefused; the note stays then, and the next sweep that may tries again.
        """
        pipeline = self._changes.look(pipeline_id)
        if pipeline is not None and pipeline.change is None and pipeline.deployment_id and not anew:
            return pipeline.deployment_id
        with self._changes.alone(pipeline_id, wait=True):
            return self._follow(pipeline_id, anew=anew)

    def sweep(self) -> int:
        """Follows the notes that are due; how many. Raises OrchestratorAway; refusals are kept with the note."""
        due = self._changes.due(_AT_ONCE)
        if len(due) < 2:
            return sum(map(self._follow_due, due))
        with ThreadPoolExecutor(_ASKING, thread_name_prefix="reconciler") as pool:
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
            except Exception as error:  # noqa: BLE001 (one broken pipeline must not keep the others waiting)
                _log.exception("a pipeline cannot be registered", pipeline=pipeline_id)
                self._changes.later(pipeline_id, f"{type(error).__name__}: {error}", _LONGEST_RETRY_S)
        return 0

    def compare(self) -> int:
        """Notes the pipelines that Prefect has otherwise than this release would register them, or not at all; how
        many. Deployments of pipelines that this catalog does not know are left alone: they may be another Headrace's.
        """
        has = self._orchestrator.registered()
        differing = [each.id for each in self._changes.runnable() if has.get(each.id) != _standing(each)]
        self._changes.enqueue(differing)
        return len(differing)

    def _follow(self, pipeline_id: str, *, anew: bool = False) -> str | None:
        """For who holds the pipeline alone."""
        pipeline = self._changes.look(pipeline_id)
        change = pipeline.change if pipeline is not None else self._changes.change_of(pipeline_id)
        if pipeline is not None and change is None and not anew:
            return pipeline.deployment_id  # somebody else was faster
        wanted = registration(pipeline) if pipeline is not None else None
        try:
            if wanted is None:
                if self._orchestrator.unregister(pipeline_id):
                    self._changes.registered(pipeline_id, None, follows=change)
                else:
                    self._changes.later(pipeline_id, "its runs have not ended", _DRAINING_S)
                return None
            first = pipeline is not None and pipeline.deployment_id is None
            deployment_id = self._orchestrator.register(wanted, first=first)
            if first:  # one that was never registered has no former name
                self._changes.registered(pipeline_id, deployment_id, follows=change)
                return deployment_id
            self._changes.registered(pipeline_id, deployment_id)
            settled = self._orchestrator.retire(pipeline_id, keep=deployment_id)
        except OrchestratorRefused as refusal:
            pause = _FIRST_RETRY_S * 2.0 ** min(self._changes.attempts(pipeline_id), 10)
            self._changes.later(pipeline_id, str(refusal), min(pause, _LONGEST_RETRY_S))
            raise
        if not settled:
            self._changes.later(pipeline_id, "runs under its former name have not ended", _DRAINING_S)
        elif change is not None:
            self._changes.done(pipeline_id, change)
        return deployment_id
