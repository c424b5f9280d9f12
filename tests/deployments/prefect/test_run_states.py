"""The conversion of Prefect's states."""

from __future__ import annotations

import pytest
from prefect import states
from prefect.client.schemas.objects import State, StateType

from headrace.deployments.prefect.run_states import failure_reason, skip_reason, status_of
from headrace.flows.prefect.names import ROWS_FAILED, SKIPPED, WAITING

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
    (states.Failed(), "failed"),
    (states.Crashed(), "failed"),
    (states.Cancelled(), "failed"),
    (states.Failed(name="TimedOut"), "failed"),
]


@pytest.mark.parametrize(("state", "status"), EXPECTED, ids=lambda each: getattr(each, "name", each))
def test_every_documented_state_has_its_status(state: State, status: str) -> None:
    assert status_of(state.type.value, state.message) == status


def test_a_completed_run_with_the_tag_has_failed_rows() -> None:
    assert status_of("COMPLETED", "2 rows loaded, 1 failed", ["headrace", ROWS_FAILED]) == "completed_with_errors"
    assert status_of("FAILED", "Too many rows failed", [ROWS_FAILED]) == "failed"


def test_a_run_that_waits_is_pending() -> None:
    assert status_of("RUNNING", f"{WAITING}waits for run_1") == "pending"


@pytest.mark.parametrize("state_type", list(StateType))
def test_no_type_of_state_is_forgotten(state_type: StateType) -> None:
    expected = "pending" if state_type.name in {"SCHEDULED", "PENDING", "PAUSED"} else None
    found = status_of(state_type.value, None)
    assert found == expected or (expected is None and found != "pending")


def test_a_run_that_its_schedule_let_go_has_not_failed() -> None:
    message = f"{SKIPPED}nobody could begin it."
    assert status_of("CANCELLED", message) == "completed"
    assert skip_reason("CANCELLED", message) == message
    assert failure_reason("CANCELLED", "Cancelled", message) is None
    for state_type, said in (("CANCELLED", "Flow run was cancelled."), ("FAILED", message), ("CANCELLED", None)):
        assert skip_reason(state_type, said) is None


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
