"""Prefect's run states as Headrace reports them: the `status` of the REST API, and the reason of a failure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from headrace.catalog.runs.records import RunStatus
from headrace.deployments.prefect.crash_reasons import explain_exit
from headrace.flows.prefect.names import CANCELLED, GIVEN_UP, ROWS_FAILED, SKIPPED, WAITING

_BY_TYPE: dict[str, RunStatus] = {
    "SCHEDULED": "pending",
    "PENDING": "pending",
    "PAUSED": "pending",
    "RUNNING": "running",
    "CANCELLING": "running",
    "COMPLETED": "completed",
    "FAILED": "failed",
    "CRASHED": "failed",
    "CANCELLED": "failed",
}


@dataclass(frozen=True, slots=True)
class RunState:
    """The state of a run in Prefect. Times are aware (UTC); `failure_reason` is set only when it failed."""

    run_id: str
    name: str
    deployment_id: str | None
    status: RunStatus
    state_name: str
    message: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    failure_reason: str | None
    pipeline_id: str | None = None
    """The pipeline named by the run's tag."""
    skip_reason: str | None = None
    """Why a scheduled run was skipped by the schedule's `catchup`; its status is then `completed`."""
    lagging: bool = False
    """Whether it is tagged as a streaming run that is too far behind."""


def status_of(state_type: str | None, message: str | None = None, tags: Iterable[str] = ()) -> RunStatus:
    """The status of a run by the type (`RUNNING`, ...) and message of its Prefect state and the run's tags; a run
    without a state is pending."""
    if skip_reason(state_type, message) is not None:
        return "completed"
    if state_type == "COMPLETED" and ROWS_FAILED in tags:
        return "completed_with_errors"
    if state_type == "RUNNING" and message is not None and message.startswith(WAITING):
        return "pending"
    return _BY_TYPE.get(state_type or "SCHEDULED", "pending")


def skip_reason(state_type: str | None, message: str | None) -> str | None:
    """Why a missed run of a schedule was skipped; None when it was not."""
    return message if state_type == "CANCELLED" and message is not None and message.startswith(SKIPPED) else None


def failure_reason(state_type: str | None, state_name: str | None, message: str | None) -> str | None:
    """Why a run failed, as a text for users; None when it did not."""
    if status_of(state_type, message) != "failed":
        return None
    if state_type == "CANCELLED":
        return message if message is not None and message.startswith(GIVEN_UP) else CANCELLED
    if state_name == "TimedOut":
        return message or "timed out"
    if message:
        return explain_exit(message)
    return "the run's process crashed" if state_type == "CRASHED" else "the run failed"
