"""Prefect's run states in Headrace's words: the `status` of the REST contract and why a run failed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from flows.state_names import CANCELLED, COMPLETED_WITH_ERRORS, WAITING

Status = Literal["pending", "running", "completed", "completed_with_errors", "failed"]

_BY_TYPE: dict[str, Status] = {
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
    """Where a run stands, as Prefect knows it. Times are aware (UTC); `failure_reason` is set only when it failed."""

    run_id: str
    name: str
    deployment_id: str | None
    status: Status
    state_name: str
    message: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    failure_reason: str | None
    pipeline_id: str | None = None
    """Whose run it is, as its tag says."""


def status_of(state_type: str | None, state_name: str | None) -> Status:
    """The status of a Prefect state, by its type (`RUNNING`, ...) and name; a run without a state is pending."""
    if state_type == "COMPLETED" and state_name == COMPLETED_WITH_ERRORS:
        return "completed_with_errors"
    if state_type == "RUNNING" and state_name == WAITING:
        return "pending"
    return _BY_TYPE.get(state_type or "SCHEDULED", "pending")


def failure_reason(state_type: str | None, state_name: str | None, message: str | None) -> str | None:
    """Why a run failed, for a person; None when it did not."""
    if status_of(state_type, state_name) != "failed":
        return None
    if state_type == "CANCELLED":
        return CANCELLED
    if state_name == "TimedOut":
        return message or "timed out"
    return message or ("the run's process crashed" if state_type == "CRASHED" else "the run failed")
