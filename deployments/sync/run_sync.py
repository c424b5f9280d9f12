"""Updates the catalog's runs from Prefect: ends runs whose process died without reporting, and names scheduled runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Protocol

import structlog
from sqlalchemy import Engine

from headrace.catalog.deployment_changes import DeploymentChanges
from headrace.catalog.errors import NoIr, PipelineMissing
from headrace.catalog.runs.records import TERMINAL, RunStatus
from headrace.catalog.runs.store import RunStore
from headrace.catalog.runs.unfinished import RunOwner, UnfinishedRuns
from headrace.catalog.security.credentials import CredentialsUnreadable
from headrace.deployments.prefect.orchestrator import OrchestratorAway, OrchestratorRefused, UpcomingRun
from headrace.deployments.prefect.run_states import RunState
from headrace.flows.prefect.names import LAGGING, event_related, event_resource, is_random, run_name
from headrace.ir.load_modes import load_modes, load_strategy

_log = structlog.get_logger("headrace.runs")

_SILENCE_S = 15.0
"""Runs report every second; a run silent for longer is looked up in Prefect."""
_DELETED_S = 120.0
"""A run unknown to Prefect and silent for this long was deleted there."""
_FIRST_LOOK = timedelta(days=1)
_OVERLAP = timedelta(minutes=5)
_NAMED_AHEAD = timedelta(days=100)
"""How far ahead Prefect schedules runs."""
_EVERY_S = 5.0
_ON_TIME = timedelta(seconds=5)
"""A run that has not started this long after it was due is late."""
_NAMES_EVERY_S = 30.0
_NAMES_AT_ONCE = 25
"""Few at a time: many requests in a row would delay a run that starts."""
_AT_ONCE = 200
_BUSY_PIPELINES = 10
"""With this many pipelines to register Prefect is busy."""
_DELETED = "The run was deleted in Prefect before it ended; a retry continues after the committed rows"


class PrefectRuns(Protocol):
    """The methods of `deployments.prefect.orchestrator.Orchestrator` that are used here."""

    def states(self, run_ids: Sequence[str]) -> dict[str, RunState]: ...

    def unsuccessful_since(self, since: datetime, limit: int, offset: int = 0) -> list[RunState]: ...

    def upcoming(self, before: datetime, limit: int) -> list[UpcomingRun]: ...

    def late(self, before: datetime, limit: int, offset: int = 0) -> list[RunState]: ...

    def rename(self, run_id: str, name: str) -> None: ...

    def remove_tag(self, run_id: str, tag: str) -> None: ...

    def emit(self, event: dict[str, Any]) -> None: ...


class RunSync:
    """Safe to run in several processes at once: the end of a run is written once."""

    def __init__(self, engine: Engine, store: RunStore, orchestrator: PrefectRuns) -> None:
        self._unfinished, self._store, self._orchestrator = UnfinishedRuns(engine), store, orchestrator
        self._changes = DeploymentChanges(engine)
        self._since = datetime.now(UTC) - _FIRST_LOOK
        self._settled: set[str] = set()
        self._names_due = 0.0
        self._nameless: list[UpcomingRun] = []

    def step(self) -> float:
        """Updates runs once and names a few. Returns the seconds until the next step. Raises OrchestratorAway.

        Runs are not named while many pipelines wait to be registered: a thousand of them bring three thousand runs.
        """
        self.settle()
        self.record_late_runs()
        if len(self._changes.due(_BUSY_PIPELINES)) < _BUSY_PIPELINES:
            self.name_upcoming_runs()
        return _EVERY_S

    def settle(self, *, silence_s: float = _SILENCE_S, gone_s: float = _DELETED_S) -> int:
        """Ends the runs in the catalog that have ended in Prefect; returns how many. Raises OrchestratorAway."""
        return self._end_silent(silence_s, gone_s) + self._end_unsuccessful()

    def record_late_runs(self) -> int:
        """Records late scheduled runs in the catalog, so that lists of runs, lags and metrics include them; returns how
        many. Raises OrchestratorAway."""
        before = datetime.now(UTC) - _ON_TIME
        late = _all_pages(lambda offset: self._orchestrator.late(before, _AT_ONCE, offset))
        known = self._unfinished.owners(list(late)) if late else {}
        return sum(self._record_run(state) is not None for run_id, state in late.items() if run_id not in known)

    def name_upcoming_runs(self, at_once: int = _NAMES_AT_ONCE) -> int:
        """Names at most `at_once` of the next scheduled runs; returns how many. Queries Prefect for new ones when all
        known ones are named, at most every 30 s. Raises OrchestratorAway."""
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
                    self._follows_nothing(state)
                    ended += self._end_as(owner, state)
                elif run_id in gone:
                    ended += self._end(owner, "failed", _DELETED)
            after = run_ids[-1]
        return ended

    def _end_unsuccessful(self) -> int:
        """Ends runs that failed, crashed or were cancelled in Prefect since the last step, started or not."""
        now = datetime.now(UTC)
        found = _all_pages(lambda offset: self._orchestrator.unsuccessful_since(self._since, _AT_ONCE, offset))
        fresh = [state for run_id, state in found.items() if run_id not in self._settled]
        owners = self._unfinished.owners([state.run_id for state in fresh]) if fresh else {}
        ended = 0
        for state in fresh:
            self._follows_nothing(state)
            owner = owners.get(state.run_id) or self._record_run(state)
            if owner is not None and owner.status not in TERMINAL:
                ended += self._end_as(owner, state)
        self._since = now - _OVERLAP
        self._settled = set(found)
        return ended

    def _record_run(self, state: RunState) -> RunOwner | None:
        """Records a run that is not in the catalog yet; None for one of no pipeline of this catalog."""
        if state.pipeline_id is None:
            return None
        with suppress(PipelineMissing, NoIr, CredentialsUnreadable):
            pipeline = self._store.pipelines.load(state.pipeline_id, None)
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

    def _follows_nothing(self, state: RunState) -> None:
        """A streaming run that could not remove its tag itself, as when its process was killed."""
        if state.lagging:
            self._orchestrator.remove_tag(state.run_id, LAGGING)

    def _end_as(self, run: RunOwner, state: RunState) -> int:
        if state.skip_reason is None:
            return self._end(run, state.status, state.failure_reason)
        if not self._store.skipped(run.run_id, state.skip_reason):
            return 0
        with suppress(OrchestratorAway, OrchestratorRefused):  # the event is for automations only
            self._orchestrator.emit(_event(run, "skipped", state.skip_reason))
        return 1

    def _end(self, run: RunOwner, status: RunStatus, reason: str | None) -> int:
        if not self._store.finished(
            run.run_id, status=status, failure_reason=reason, only_if_unfinished=True, error=reason
        ):
            return 0
        _log.info("run ended without reporting", run=run.run_id, pipeline=run.pipeline_id, status=status, reason=reason)
        with suppress(OrchestratorAway, OrchestratorRefused):  # the catalog is up to date; the event is for automations
            self._orchestrator.emit(_event(run, status, reason))
        return 1


def _all_pages(page: Callable[[int], list[RunState]]) -> dict[str, RunState]:
    """The runs of all pages by id; `page` gives at most _AT_ONCE runs after an offset. A run that moves to the next
    page meanwhile is there once."""
    found: dict[str, RunState] = {}
    for offset in count(0, _AT_ONCE):
        runs = page(offset)
        found |= {run.run_id: run for run in runs}
        if len(runs) < _AT_ONCE:
            break
    return found


def _event(run: RunOwner, status: str, reason: str | None) -> dict[str, Any]:
    flow_run = run.run_id.removeprefix("run_")
    dashed = "-".join((flow_run[:8], flow_run[8:12], flow_run[12:16], flow_run[16:20], flow_run[20:]))
    return {
        "event": f"headrace.run.{'cancelled' if reason == 'cancelled' else status}",
        "resource": event_resource(run.pipeline_id, run.pipeline_name),
        "related": event_related(run.tenant_id, flow_run_id=dashed),
        "payload": {
            "runId": run.run_id,
            "pipelineId": run.pipeline_id,
            "tenantId": run.tenant_id,
            "status": status,
            "failureReason": reason,
        },
    }
