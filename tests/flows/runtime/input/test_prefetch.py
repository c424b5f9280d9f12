"""Items made ahead arrive in order, their errors too, and a consumer that leaves stops the producer."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from headrace.flows.runtime.input.prefetch import prefetch


def test_items_arrive_in_order() -> None:
    assert list(prefetch(range(1000), depth=3)) == list(range(1000))


def test_what_the_producer_raises_is_raised_after_the_items_before_it() -> None:
    def failing() -> Iterator[int]:
        yield from (1, 2)
        raise ValueError("broken")

    seen: list[int] = []
    with pytest.raises(ValueError, match="broken"):
        seen.extend(prefetch(failing()))
    assert seen == [1, 2]


def test_a_consumer_that_leaves_stops_the_producer_and_lets_it_clean_up() -> None:
    closed = threading.Event()
    made: list[int] = []

    def endless() -> Iterator[int]:
        try:
            while True:
                made.append(len(made))
                yield made[-1]
        finally:
            closed.set()

    for item in prefetch(endless()):
        if item == 3:
            break
    assert closed.wait(10)
    assert len(made) <= 8


def test_one_may_be_put_after_another() -> None:
    assert list(prefetch(item * 2 for item in prefetch(range(50)))) == [item * 2 for item in range(50)]
