"""Prefect's states in Headrace's words."""

from __future__ import annotations

import pytest
from prefect import states
from prefect.client.schemas.objects import State, StateType

from deployments.states import failure_reason, status_of

EXPECTED = [
    (states.Scheduled(), "pending"),
    (states.Late(), "pending"),
    (states.Pending(), "pending"),
    (states.AwaitingRetry(), "pending"),
    (states.AwaitingConcurrencySlot(), "pending"),
    (states.Running(), "running"),
    (states.Retrying(), "running"),
    (states.Cancelling(), "running"),
    (states.Completed(), "completed"),
    (states.Completed(name="CompletedWithErrors"), "completed_with_errors"),
    (states.Failed(), "failed"),
    (states.Crashed(), "failed"),
    (states.Cancelled(), "failed"),
    (states.Failed(name="TimedOut"), "failed"),
]


@pytest.mark.parametrize(("state", "status"), EXPECTED, ids=lambda each: getattr(each, "name", each))
def test_every_documented_state_has_its_status(state: State, status: str) -> None:
    assert status_of(state.type.value, state.name) == status


@pytest.mark.parametrize("state_type", list(StateType))
def test_no_type_of_state_is_forgotten(state_type: StateType) -> None:
    expected = "pending" if state_type.name in {"SCHEDULED", "PENDING", "PAUSED"} else None
    found = status_of(state_type.value, None)
    assert found == expected or (expected is None and found != "pending")


def test_a_run_without_a_state_is_pending() -> None:
    assert status_of(None, None) == "pending"


@pytest.mark.parametrize(
    ("state_type", "name", "message", "reason"),
    [
        ("CANCELLED", "Cancelled", "Flow run was cancelled successfully.", "cancelled"),
        ("FAILED", "TimedOut", None, "timed out"),
        ("FAILED", "Failed", "No such file: orders.csv", "No such file: orders.csv"),
        ("CRASHED", "Crashed", None, "the run's process crashed"),
        ("COMPLETED", "Completed", "All states completed.", None),
        ("RUNNING", "Running", None, None),
    ],
)
def test_only_a_failed_run_has_a_reason(state_type: str, name: str, message: str | None, reason: str | None) -> None:
    assert failure_reason(state_type, name, message) == reason
