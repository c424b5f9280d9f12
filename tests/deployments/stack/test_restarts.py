"""A dead process is restarted at once; one that keeps dying, with growing pauses."""

from __future__ import annotations

from headrace.deployments.stack.process import CALM_SECONDS, LONGEST_PAUSE, Restarts


def pause(restarts: Restarts, clock: list[float]) -> float:
    """How long a part that has just died waits."""
    died = clock[0]
    while not restarts.due():
        clock[0] += 0.5
    return clock[0] - died


def test_pauses_grow_while_it_keeps_dying_and_end_when_it_lives() -> None:
    clock = [1000.0]
    restarts = Restarts(lambda: clock[0])
    assert [pause(restarts, clock) for _ in range(8)] == [0, 1, 2, 4, 8, 16, LONGEST_PAUSE, LONGEST_PAUSE]
    assert restarts.in_a_row == 8
    clock[0] += CALM_SECONDS
    assert (pause(restarts, clock), restarts.in_a_row) == (0, 1)
