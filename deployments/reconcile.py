"""Brings Prefect's deployments in line with the catalog: one pipeline, or whatever changed while Prefect was away.

The catalog notes every change of a pipeline in the transaction that makes it (`catalog.deployment_changes`); a note
goes when Prefect has followed. So nothing is lost, whoever dies when, and with nothing to do nothing is asked.
"""

from __future__ import annotations

import threading
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
_PAUSE_S = 2.0
_AWAY_S = 5.0
_DRAINING_S = 10.0
_FIRST_RETRY_S, _LONGEST_RETRY_S = 5.0, 600.0
_COMPARE_S = 600.0

_SCHEDULES: TypeAdapter[Schedule] = TypeAdapter(Schedule)


class Deployments(Protocol):
    """What is asked of `deployments.orchestrator.Orchestrator`; see there."""

    def register(self, pipeline: RegisteredPipeline) -> str: ...

    def retire(self, pipeline_id: str, *, keep: str) -> bool: ...

    def unregister(self, pipeline_id: str) -> None: ...

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
        scheduled_since=pipeline.scheduled_since,
    )


def _fingerprint(pipeline: DeployedPipeline) -> str | None:
    try:
        wanted = registration(pipeline)
    except ValidationError:  # the sweep will say so
        return None
    return None if wanted is None else wanted.fingerprint()


class Reconciler:
    """Follows the catalog's notes. Safe to run in any number of threads and processes at once."""

    def __init__(self, engine: Engine, orchestrator: Deployments) -> None:
        self._changes, self._orchestrator = DeploymentChanges(engine), orchestrator

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
        followed = 0
        for pipeline_id in self._changes.due(_AT_ONCE):
            with self._changes.alone(pipeline_id, wait=False) as mine:
                if not mine:
                    continue
                try:
                    self._follow(pipeline_id)
                    followed += 1
                except (OrchestratorAway, SQLAlchemyError):
                    raise
                except OrchestratorRefused as refusal:
                    _log.warning("prefect refuses a pipeline", pipeline=pipeline_id, reason=str(refusal))
                except Exception as error:  # noqa: BLE001 (one broken pipeline must not keep the others waiting)
                    _log.exception("a pipeline cannot be registered", pipeline=pipeline_id)
                    self._changes.later(pipeline_id, f"{type(error).__name__}: {error}", _LONGEST_RETRY_S)
        return followed

    def compare(self) -> int:
        """Notes the pipelines that Prefect has otherwise than this release would register them, or not at all; how
        many. Deployments of pipelines that this catalog does not know are left alone: they may be another Headrace's.
        """
        has = self._orchestrator.registered()
        differing = [each.id for each in self._changes.runnable() if has.get(each.id) != _fingerprint(each)]
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
                self._orchestrator.unregister(pipeline_id)
                self._changes.registered(pipeline_id, None)
                deployment_id, settled = None, True
            else:
                deployment_id = self._orchestrator.register(wanted)
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


class ReconcilerThread:
    """Sweeps every two seconds in the background, from `start` to `stop`."""

    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reconciler", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends, between two pipelines."""
        self._stop.set()
        self._thread.join(timeout=20)

    def _run(self) -> None:
        until_compare = 0.0
        pause = _PAUSE_S
        while not self._stop.wait(pause):
            until_compare -= pause
            try:
                if until_compare <= 0:
                    self._reconciler.compare()
                    until_compare = _COMPARE_S
                followed = self._reconciler.sweep()
                pause = _PAUSE_S if followed < _AT_ONCE else 0.0
            except OrchestratorAway:
                pause = _AWAY_S
            except SQLAlchemyError as error:
                _log.warning("reconciler waits for the database", kind=type(error).__name__)
                pause = _AWAY_S
            except Exception:  # noqa: BLE001 (the thread must outlive whatever it was)
                _log.exception("reconciler failed")
                pause = _AWAY_S
