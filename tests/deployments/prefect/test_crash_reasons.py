"""The likely cause of a signal that ended a run."""

from __future__ import annotations

import pytest

from headrace.deployments.prefect.crash_reasons import explain_exit
from headrace.deployments.prefect.run_states import failure_reason


@pytest.mark.parametrize("code", [-9, 137])
def test_a_killed_run_most_likely_met_the_end_of_the_memory(code: int) -> None:
    reported = explain_exit(f"Process exited with status code: {code}. Anything.", "totals")
    assert reported.startswith("The run's process was killed by SIGKILL at the node 'totals': ")
    assert "ran out of memory" in reported


@pytest.mark.parametrize("code", [-6, 134])
def test_an_aborted_run_most_likely_asked_for_too_much(code: int) -> None:
    reported = failure_reason("CRASHED", "Crashed", f"Process exited with status code: {code}. Anything.")
    assert reported is not None
    assert "HEADRACE_RUN_MEMORY_LIMIT" in reported


@pytest.mark.parametrize("message", ["Process exited with status code: 1. It failed.", "The disk is full", ""])
def test_anything_else_is_left_as_it_is(message: str) -> None:
    assert explain_exit(message) == message
