"""Enforces the tenants' limits in Prefect: the concurrency of work queues, the number of waiting scheduled runs."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import structlog

from headrace.deployments.prefect.orchestrator import OverdueRun

_log = structlog.get_logger("headrace.limits")

_EVERY_S = 30.0
_QUEUES_EVERY_S = 600.0
_AT_ONCE = 200


class QueueApi(Protocol):
    """The methods of `deployments.prefect.orchestrator.Orchestrator` that are used here."""

    def limit_queues(self, limit: Callable[[str], int]) -> int: ...

    def overdue_count(self) -> int: ...

    def overdue(self) -> list[OverdueRun]: ...

    def give_up(self, run_id: str, reason: str) -> None: ...


class TenantLimits:
    """Safe to run in several processes at once: they choose the same runs, and a cancelled run stays cancelled."""

    def __init__(
        self, orchestrator: QueueApi, *, running: Callable[[str], int], waiting: Callable[[str], int], least: int
    ) -> None:
        """`running` and `waiting` give the limits of a tenant, `least` is the smallest `waiting` of all."""
        self._orchestrator, self._running, self._waiting, self._least = orchestrator, running, waiting, least
        self._queues_due = 0.0

    def step(self) -> float:
        """Applies the limits once; returns the seconds until the next step. Raises OrchestratorAway."""
        if time.monotonic() >= self._queues_due:
            self._orchestrator.limit_queues(self._running)
            self._queues_due = time.monotonic() + _QUEUES_EVERY_S
        self.cancel_surplus_runs()
        return _EVERY_S

    def cancel_surplus_runs(self) -> int:
        """Cancels waiting scheduled runs beyond their tenant's limit; returns how many. Raises OrchestratorAway."""
        if self._orchestrator.overdue_count() <= self._least:
            return 0
        given_up = runs_over_limit(self._orchestrator.overdue(), self._waiting)[:_AT_ONCE]
        for run in given_up:
            limit = self._waiting(run.tenant_id)
            reason = f"the tenant has its {limit} waiting runs of schedules (HEADRACE_MAX_WAITING_RUNS)"
            self._orchestrator.give_up(run.run_id, reason)
        for tenant_id, runs in Counter(run.tenant_id for run in given_up).items():
            _log.warning("runs of schedules given up", tenant=tenant_id, runs=runs, limit=self._waiting(tenant_id))
        return len(given_up)


def runs_over_limit(waiting: Iterable[OverdueRun], limit: Callable[[str], int]) -> Sequence[OverdueRun]:
    """The runs beyond the limits of their tenants. The longest due runs are kept, equally many of each pipeline, so
    that one that fires every minute and takes an hour does not crowd out the others."""
    ranked: dict[str, list[tuple[int, OverdueRun]]] = defaultdict(list)
    seen: Counter[str] = Counter()
    for run in sorted(waiting, key=lambda run: (run.due_at, run.run_id)):
        ranked[run.tenant_id].append((seen[run.pipeline_id], run))
        seen[run.pipeline_id] += 1
    beyond: list[OverdueRun] = []
    for tenant_id, runs in ranked.items():
        in_turn = sorted(runs, key=lambda each: (each[0], each[1].due_at, each[1].run_id))
        beyond += [run for _, run in in_turn[limit(tenant_id) :]]
    return beyond
