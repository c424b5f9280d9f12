"""Due runs of several tenants start in turn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from headrace.deployments.worker.due_runs import RoundRobin

FIRST, SECOND, THIRD = UUID(int=1), UUID(int=2), UUID(int=3)


def due(*queues: UUID) -> Any:
    """As Prefect gives them: by the priority of their queue."""
    return cast(Any, [SimpleNamespace(work_queue_id=queue, name=name) for name, queue in enumerate(queues)])


def test_the_first_of_each_queue_come_before_the_second_of_any() -> None:
    order = RoundRobin().in_turn(due(FIRST, FIRST, FIRST, SECOND, THIRD, THIRD))
    assert [each.work_queue_id for each in order] == [FIRST, SECOND, THIRD, FIRST, THIRD, FIRST]
    assert [each.name for each in order if each.work_queue_id == FIRST] == [0, 1, 2]


def test_with_one_place_at_a_time_every_queue_gets_it() -> None:
    turns, served = RoundRobin(), []
    for _ in range(6):
        [queue, *_] = [each.work_queue_id for each in turns.in_turn(due(FIRST, FIRST, SECOND, THIRD))]
        turns.served(queue)
        served.append(queue)
    assert served == [FIRST, SECOND, THIRD] * 2
