"""Keeps the catalog's runs true to Prefect's when nobody looks: ends those that died without a word, and gives those a
schedule has made a name."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import structlog
from sqlalchemy import Engine

from catalog.credentials import CredentialsUnreadable
from catalog.deployment_changes import DeploymentChanges
from catalog.errors import NoIr, PipelineMissing
from catalog.load_strategy import load_strategy
from catalog.run_records import TERMINAL
from catalog.runs import RunStore
from catalog.unfinished_runs import RunOwner, UnfinishedRuns
from deployments.orchestrator import OrchestratorAway, OrchestratorRefused, UpcomingRun
from deployments.states import RunState
from flows.asked import load_modes
from flows.event_shapes import related_of, resource_of
from flows.run_names import is_random, run_name

_log = structlog.get_logger("headrace.runs")

_SILENCE_S = 15.0
"""A run reports every second; longer silence is worth a question."""
_GONE_S = 120.0
"""A run that Prefect does not know and that has been silent for so long was deleted there."""
_FIRST_LOOK = timedelta(days=1)
_OVERLAP = timedelta(minutes=5)
_NAMED_AHEAD = timedelta(days=100)
"""As far as Prefect makes runs ahead."""
_EVERY_S = 5.0
_NAMES_EVERY_S = 30.0
_NAMES_AT_ONCE = 25
"""A few at each look: many in a row would keep a run that begins waiting."""
_AT_ONCE = 200
_MANY = 10
"""So many pipelines that wait for Prefect keep it busy; a few, or one that it fails to take, do not."""
_DELETED = "The run was deleted in Prefect before it ended; a retry goes on behind its ledger"


class RunsOfPrefect(Protocol):
    """What is asked of `deployments.orchestrator.Orchestrator`; see there."""

    def states(self, run_ids: Sequence[str]) -> dict[str, RunState]: ...

    def broken_off_since(self, since: datetime, limit: int) -> list[RunState]: ...

    def upcoming(self, before: datetime, limit: int) -> list[UpcomingRun]: ...

    def rename(self, run_id: str, name: str) -> None: ...

    def emit(self, event: dict[str, Any]) -> None: ...


class RunFollower:
    """Safe to run in any number of processes at once: an end is written once, by whoever comes first."""

    def __init__(self, engine: Engine, store: RunStore, orchestrator: RunsOfPrefect) -> None:
        self._unfinished, self._store, self._orchestrator = UnfinishedRuns(engine), store, orchestrator
        self._changes = DeploymentChanges(engine)
        self._since = datetime.now(UTC) - _FIRST_LOOK
        self._settled: set[str] = set()
        self._names_due = 0.0
        self._nameless: list[UpcomingRun] = []

    def step(self) -> float:
        """Looks once, and names a few runs; gives the seconds until the next look. Raises OrchestratorAway.

        Names wait while many pipelines do: a thousand new ones bring three thousand runs.
        """
        self.settle()
        if len(self._changes.due(_MANY)) < _MANY:
            self.name_upcoming()
        return _EVERY_S

    def settle(self, *, silence_s: float = _SILENCE_S, gone_s: float = _GONE_S) -> int:
        """Ends in the catalog what has ended in Prefect; how many. Raises OrchestratorAway."""
        return self._end_silent(silence_s, gone_s) + self._end_broken_off()

    def name_upcoming(self, at_once: int = _NAMES_AT_ONCE) -> int:
        """Names so many of the next runs that schedules have made; how many. Looks for new ones when those it knows of
        have a name, and not too often. Raises OrchestratorAway."""
        if not self._nameless and time.monotonic() >= self._names_due:
            found = self._orchestrator.upcoming(datetime.now(UTC) + _NAMED_AHEAD, _AT_ONCE)
            self._nameless = [run for run in found if is_random(run.name)]
            self._names_due = time.monotonic() + _NAMES_EVERY_S
        now, self._nameless = self._nameless[:at_once], self._nameless[at_once:]
        names = self._unfinished.pipeline_names([run.pipeline_id for run in now]) if now else {}
        for run in now:
            if run.pipeline_id in names:
                self._orchestrator.rename(run.run_id, run_name(names[run.pipeline_id], run.due_at))
        return len(now)

    def _end_silent(self, silence_s: float, gone_s: float) -> int:
        ended, after = 0, ""
        while run_ids := self._unfinished.silent(silence_s, after=after, limit=_AT_ONCE):
            states = self._orchestrator.states(run_ids)
            owners = self._unfinished.owners(run_ids)
            missing = set(run_ids) - states.keys()
            gone = missing & set(self._unfinished.silent(gone_s, after=after, limit=_AT_ONCE)) if missing else set()
            for run_id, owner in owners.items():
                state = states.get(run_id)
                if state is not None and state.status in TERMINAL:
                    ended += self._end(owner, state.status, state.failure_reason)
                elif run_id in gone:
                    ended += self._end(owner, "failed", _DELETED)
            after = run_ids[-1]
        return ended

    def _end_broken_off(self) -> int:
        """Runs that ended badly in Prefect since the last look, those included that never began."""
        now = datetime.now(UTC)
        found = self._orchestrator.broken_off_since(self._since, _AT_ONCE)
        fresh = [state for state in found if state.run_id not in self._settled]
        owners = self._unfinished.owners([state.run_id for state in fresh]) if fresh else {}
        ended = 0
        for state in fresh:
            owner = owners.get(state.run_id) or self._adopted(state)
            if owner is not None and owner.status not in TERMINAL:
                ended += self._end(owner, state.status, state.failure_reason)
        self._since = now - _OVERLAP
        self._settled = {state.run_id for state in found}
        return ended

    def _adopted(self, state: RunState) -> RunOwner | None:
        """A run that ended before the catalog heard of it; None for one of no pipeline of this catalog."""
        if state.pipeline_id is None:
            return None
        with suppress(PipelineMissing, NoIr, CredentialsUnreadable):
            pipeline = self._store.load_pipeline(state.pipeline_id, None)
            self._store.open(
                state.run_id,
                tenant_id=pipeline.tenant_id,
                pipeline_id=pipeline.id,
                ir_version=pipeline.ir_version,
                root_run_id=state.run_id,
                retry_of=None,
                load_strategy=load_strategy(load_modes(pipeline.ir)),
                created_at=state.created_at,
            )
            return RunOwner(state.run_id, pipeline.id, pipeline.name, pipeline.tenant_id, "pending")
        return None

    def _end(self, run: RunOwner, status: str, reason: str | None) -> int:
        if not self._store.finished(run.run_id, status=status, failure_reason=reason, only_if_unfinished=True):
            return 0
        if reason is not None:
            self._store.log(run.run_id, "run", reason)
        _log.info("run ended without a word", run=run.run_id, pipeline=run.pipeline_id, status=status, reason=reason)
        with suppress(OrchestratorAway, OrchestratorRefused):  # the catalog knows; the event is for automations
            self._orchestrator.emit(_event(run, status, reason))
        return 1


def _event(run: RunOwner, status: str, reason: str | None) -> dict[str, Any]:
    flow_run = run.run_id.removeprefix("run_")
    dashed = "-".join((flow_run[:8], flow_run[8:12], flow_run[12:16], flow_run[16:20], flow_run[20:]))
    return {
        "event": f"headrace.run.{'cancelled' if reason == 'cancelled' else status}",
        "resource": resource_of(run.pipeline_id, run.pipeline_name),
        "related": related_of(run.tenant_id, flow_run_id=dashed),
        "payload": {
            "runId": run.run_id,
            "pipelineId": run.pipeline_id,
            "tenantId": run.tenant_id,
            "status": status,
            "failureReason": reason,
        },
    }
