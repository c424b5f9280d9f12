"""Reads from Prefect what `flows.catchup` needs about a scheduled run: for a Headrace worker before it starts the run,
and for the run itself when one of Prefect's own workers started it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from headrace.flows.catchup import DEFAULT, Starts, Verdict, WaitsForOlder, is_missed, policy_of, start_verdict
from headrace.flows.prefect.names import NOT_ITS_TURN
from headrace.ir.schedules.schedule import CatchUp

if TYPE_CHECKING:
    from prefect import State
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun

CHECKED_BY_WORKER = "HEADRACE_RUN_MAY_START"
"""The environment variable that is set when the worker has already applied `catchup`."""

_OPEN = ["SCHEDULED", "PENDING", "RUNNING", "CANCELLING"]
_SOON = timedelta(minutes=1)
"""Prefect slightly moves the expected start of a run that waits for the previous one."""
_AT_ONCE = 200
_TURN = timedelta(seconds=30)
_OLDER_FIRST = "Waits until the older runs of its schedule have ended, because catchup is 'all'."
_WANTED_AGAIN = ("AwaitingRetry", "Retrying", "Resuming")
_WAITS = ("Scheduled", "Late")


def due_at(run: FlowRun) -> datetime | None:
    """When a scheduled run was due; None for a run that was requested. Prefect creates scheduled runs days ahead and
    moves the expected start of a run that waits; the original time remains in the idempotency key."""
    if not run.auto_scheduled:
        return None
    with suppress(ValueError):
        return datetime.fromisoformat((run.idempotency_key or "").rpartition(" ")[2]).astimezone(UTC)
    return run.expected_start_time


def was_requested(run: FlowRun, states: Iterable[tuple[str | None, datetime | None]]) -> bool:
    """Whether the run was requested, retried or rescheduled by a user. `states` are the known states of the run: their
    names and scheduled times."""
    due = due_at(run)
    if due is None:
        return True
    for name, scheduled_for in states:
        if name in _WANTED_AGAIN:
            return True
        # A run that waits for a slot is moved by Prefect, but its state has another name.
        if name in _WAITS and scheduled_for is not None and abs(scheduled_for.timestamp() - due.timestamp()) > 1:
            return True
    return False


class ScheduledRuns:
    """The policy and scheduled runs of a deployment. Reads each from Prefect once."""

    def __init__(self, client: PrefectClient, deployment_id: UUID) -> None:
        self._client, self._deployment_id = client, deployment_id
        self._policy: CatchUp | None = None
        self._newest: datetime | None = None
        self._oldest_open: datetime | None = None

    async def verdict(self, run: FlowRun, taken_at: datetime) -> Verdict:
        """Decides whether the run starts, by `catchup.evaluated`."""
        due = due_at(run)
        if due is None:
            return Starts()
        if self._policy is None:
            await self._ask(taken_at)
        older = self._oldest_open is not None and self._oldest_open < due
        return start_verdict(self._policy or DEFAULT, due, taken_at, newest=self._newest, older_waits=older)

    async def _ask(self, taken_at: datetime) -> None:
        deployment = await self._client.read_deployment(self._deployment_id)
        policy = policy_of(deployment.tags)
        if policy == "latest":
            found = await self._runs("EXPECTED_START_TIME_DESC", taken_at)
            self._newest = max((due for due in found if due <= taken_at), default=None)
        elif policy == "all":
            found = await self._runs("EXPECTED_START_TIME_ASC", taken_at + _SOON, state={"type": {"any_": _OPEN}})
            self._oldest_open = min(found, default=None)
        self._policy = policy

    async def _runs(self, sort: str, before: datetime, **more: Any) -> list[datetime]:
        from prefect.client.schemas.filters import FlowRunFilter
        from prefect.client.schemas.sorting import FlowRunSort

        wanted = {
            "deployment_id": {"any_": [str(self._deployment_id)]},
            "tags": {"all_": ["auto-scheduled"]},
            "expected_start_time": {"before_": before.isoformat()},
            **more,
        }
        found = await self._client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate(wanted), sort=FlowRunSort(sort), limit=_AT_ONCE
        )
        return [due for run in found if (due := due_at(run)) is not None]


def needs_check(run: FlowRun, taken_at: datetime) -> bool:
    """Whether a scheduled run has missed its time or may have to wait for an older run; makes no requests."""
    due = due_at(run)
    return due is not None and (is_missed(due, taken_at) or policy_of(run.tags) == "all")


async def own_verdict(client: PrefectClient, run: FlowRun) -> Verdict:
    """The verdict for a run that has just started. The time that counts is when a worker submitted it, not how long its
    process took to start."""
    if run.deployment_id is None or not needs_check(run, datetime.now(UTC)):
        return Starts()
    states = await client.read_flow_run_states(run.id)
    taken = [state.timestamp for state in states if state.type.value == "PENDING" and state.timestamp is not None]
    been = [(state.name, state.state_details.scheduled_time) for state in states]
    if was_requested(run, been) or not taken:
        return Starts()
    return await ScheduledRuns(client, run.deployment_id).verdict(run, max(taken))


async def let_go(run: FlowRun, begun: Callable[[], bool]) -> str | None:
    """The reason why the schedule skips a run that has just started; None if the run continues, as it does if it has
    `begun` before. Raises Abort if the run must be started later, because an older one of its schedule has not ended.

    A Headrace worker checks before it starts the run; a worker of Prefect starts every due run.
    """
    from prefect import get_client
    from prefect.exceptions import Abort
    from prefect.states import Scheduled
    from prefect.utilities.engine import propose_state

    async with get_client() as client:
        verdict = await own_verdict(client, run)
        if isinstance(verdict, Starts) or begun():
            return None
        if isinstance(verdict, WaitsForOlder):
            later = datetime.now(UTC) + _TURN
            state: State[Any] = Scheduled(scheduled_time=later, name=NOT_ITS_TURN, message=_OLDER_FIRST)
            await propose_state(client, state, flow_run_id=run.id)
            raise Abort(_OLDER_FIRST)
    return verdict.message
