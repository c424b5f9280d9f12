"""Flow runs in Prefect, with an open client: found by state, schedule and time, and converted to `RunState`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from headrace.deployments.prefect.deployments import not_due_yet, pipeline_from_tags, unfinished_runs
from headrace.deployments.prefect.run_states import RunState, failure_reason, skip_reason, status_of
from headrace.flows.prefect.names import LAGGING
from headrace.flows.prefect.scheduled_runs import due_at

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

_WAITING = timedelta(minutes=1)
_SCHEDULED_SOON = 2
"""How many runs of one schedule can be due within `_WAITING`."""


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A run that Prefect accepted: its id (`run_` and 32 hex digits), its name, when it was created (aware, UTC)."""

    run_id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class UpcomingRun:
    """A run that a schedule has created for later; `due_at` is aware."""

    run_id: str
    name: str
    pipeline_id: str
    due_at: datetime


def started(run: FlowRun) -> StartedRun:
    """A run that was just created."""
    return StartedRun(_run_id(run.id), run.name, _time(run.created))


def runs_of(client: SyncPrefectClient, deployment_id: str, limit: int) -> list[RunState]:
    """The latest runs of a deployment, newest first, without those that are only scheduled for later."""
    now = datetime.now(UTC)
    wanted = {
        "deployment_id": {"any_": [deployment_id]},
        # A run that waits for the previous one of its pipeline has an expected start a little in the future.
        "expected_start_time": {"before_": (now + _WAITING).isoformat()},
    }
    found = _read(client, wanted, "EXPECTED_START_TIME_DESC", limit + _SCHEDULED_SOON)
    return [state_of(run) for run in found if not not_due_yet(run, now)][:limit]


def active_runs(client: SyncPrefectClient, deployment_id: str) -> list[RunState]:
    """All runs of a deployment that have not ended, without those that are only scheduled for later."""
    return [state_of(run) for run in unfinished_runs(client, UUID(deployment_id))]


def find(client: SyncPrefectClient, wanted: dict[str, Any], sort: str, limit: int, offset: int = 0) -> list[RunState]:
    """The states of runs that match a filter of Prefect."""
    return [state_of(run) for run in _read(client, wanted, sort, limit, offset)]


def unsuccessful_since(client: SyncPrefectClient, since: datetime, limit: int, offset: int = 0) -> list[RunState]:
    """Headrace's runs that failed, crashed or were cancelled since then, the latest first, after `offset` of them."""
    wanted = {
        "tags": {"all_": ["headrace"]},
        "state": {"type": {"any_": ["FAILED", "CRASHED", "CANCELLED"]}},
        "end_time": {"after_": since.isoformat()},
    }
    return find(client, wanted, "END_TIME_DESC", limit, offset)


def upcoming(client: SyncPrefectClient, before: datetime, limit: int) -> list[UpcomingRun]:
    """Runs that schedules have created and that are due before then, the next first."""
    found = _read(client, _scheduled_before(before), "NEXT_SCHEDULED_START_TIME_ASC", limit)
    return [
        UpcomingRun(_run_id(run.id), run.name, pipeline_id, run.expected_start_time)
        for run in found
        if run.expected_start_time is not None and (pipeline_id := pipeline_from_tags(run.tags)) is not None
    ]


def late(client: SyncPrefectClient, before: datetime, limit: int, offset: int = 0) -> list[RunState]:
    """Scheduled runs that were due before then and have not started, the longest waiting first, after `offset` of
    them."""
    wanted = {**_scheduled_before(before), "start_time": {"is_null_": True}}
    return find(client, wanted, "NEXT_SCHEDULED_START_TIME_ASC", limit, offset)


def last_scheduled(client: SyncPrefectClient, deployment_id: str, before: datetime) -> datetime | None:
    """The latest time before that for which the deployment's schedule has created a run; None without one."""
    wanted = {
        "flow_runs": {
            "deployment_id": {"any_": [deployment_id]},
            "tags": {"all_": ["auto-scheduled"]},
            "expected_start_time": {"before_": before.isoformat()},
        },
        "sort": "EXPECTED_START_TIME_DESC",
        "limit": 1,
    }
    found = client.request("POST", "/flow_runs/filter", json=wanted).json()
    return datetime.fromisoformat(found[0]["expected_start_time"]) if found else None


def state_of(run: FlowRun) -> RunState:
    """The state of a run as Headrace names it."""
    state_type = run.state.type.value if run.state is not None else None
    state_name = run.state.name if run.state is not None else None
    message = run.state.message if run.state is not None else None
    return RunState(
        run_id=_run_id(run.id),
        name=run.name,
        deployment_id=str(run.deployment_id) if run.deployment_id is not None else None,
        status=status_of(state_type, message, run.tags),
        state_name=state_name or "Scheduled",
        message=message,
        created_at=due_at(run) or _time(run.created),
        started_at=run.start_time,
        ended_at=run.end_time,
        failure_reason=failure_reason(state_type, state_name, message),
        pipeline_id=pipeline_from_tags(run.tags),
        skip_reason=skip_reason(state_type, message),
        lagging=LAGGING in run.tags,
    )


def flow_run_id(run_id: str) -> UUID | None:
    """Prefect's id of a run id; None for a text that is not one."""
    try:
        return UUID(hex=run_id.removeprefix("run_"))
    except ValueError:
        return None


def _read(client: SyncPrefectClient, wanted: dict[str, Any], sort: str, limit: int, offset: int = 0) -> list[FlowRun]:
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    chosen = FlowRunFilter.model_validate(wanted)
    return client.read_flow_runs(flow_run_filter=chosen, sort=FlowRunSort(sort), limit=limit, offset=offset)


def _scheduled_before(before: datetime) -> dict[str, Any]:
    return {
        "tags": {"all_": ["headrace", "auto-scheduled"]},
        "state": {"type": {"any_": ["SCHEDULED"]}},
        "expected_start_time": {"before_": before.isoformat()},
    }


def _run_id(flow_run_id: UUID) -> str:
    return f"run_{flow_run_id.hex}"


def _time(created: datetime | None) -> datetime:
    assert created is not None, "the server sets it"
    return created
