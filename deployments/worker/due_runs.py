"""Which due runs a worker starts, and in which order: `catchup` of their schedules, and tenants in turn."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from prefect.states import Cancelled

from headrace.flows.catchup import Skipped, Starts, Verdict
from headrace.flows.prefect.scheduled_runs import ScheduledRuns, needs_check, was_requested

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import WorkerFlowRunResponse


_CANCELLED_AT_ONCE = 10


async def due_runs_to_start(client: PrefectClient, due: Sequence[WorkerFlowRunResponse]) -> list[WorkerFlowRunResponse]:
    """The due runs that start now. Runs that their schedules skip are cancelled; a run that waits for an older one of
    its schedule is left out and stays due."""
    now = datetime.now(UTC)
    of_deployment: dict[UUID, ScheduledRuns] = {}
    starting, let_go = [], []
    for each in due:
        run = each.flow_run
        verdict: Verdict = Starts()
        if run.deployment_id is not None and _is_scheduled(run) and needs_check(run, now):
            runs = of_deployment.setdefault(run.deployment_id, ScheduledRuns(client, run.deployment_id))
            verdict = await runs.verdict(run, now)
        if isinstance(verdict, Starts):
            starting.append(each)
        elif isinstance(verdict, Skipped):
            let_go.append(_cancel_missed(client, run, verdict))
    for first in range(0, len(let_go), _CANCELLED_AT_ONCE):
        await asyncio.gather(*let_go[first : first + _CANCELLED_AT_ONCE])
    return starting


def _is_scheduled(run: FlowRun) -> bool:
    # Prefect sends workers the state's name, not the state.
    return run.run_count == 0 and not was_requested(run, [(run.state_name, run.next_scheduled_start_time)])


async def _cancel_missed(client: PrefectClient, run: FlowRun, verdict: Skipped) -> None:
    now = (await client.read_flow_run(run.id)).state
    if now is not None and now.is_scheduled():  # not started meanwhile
        # Not forced: only an orchestrated change releases the concurrency slot.
        await client.set_flow_run_state(run.id, Cancelled(message=verdict.message))


class RoundRobin:
    """Remembers the order in which queues were served."""

    def __init__(self) -> None:
        self._served: dict[UUID | None, int] = {}
        self._now = 0

    def served(self, queue_id: UUID | None) -> None:
        """Records that a run of the queue starts."""
        self._now += 1
        self._served[queue_id] = self._now

    def in_turn(self, due: Iterable[WorkerFlowRunResponse]) -> list[WorkerFlowRunResponse]:
        """Orders runs: the first of each queue, least recently served queues first; then the second of each, and so on.
        Within a queue the order is kept."""
        ranked: list[tuple[int, int, WorkerFlowRunResponse]] = []
        seen: Counter[UUID] = Counter()
        for each in due:
            ranked.append((seen[each.work_queue_id], self._served.get(each.work_queue_id, 0), each))
            seen[each.work_queue_id] += 1
        return [each for _, _, each in sorted(ranked, key=lambda found: found[:2])]
