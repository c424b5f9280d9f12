"""A query has a part of what its run may use, whatever the machine has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from headrace.flows.query.limits import QueryLimits
from headrace.flows.runtime.memory.limit import set_memory_limit

GB = 1024**3


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    yield
    set_memory_limit(None)


def test_a_query_has_a_third_of_the_limit_of_its_run() -> None:
    set_memory_limit(3 * GB)
    assert QueryLimits().memory_bytes == GB
    set_memory_limit(GB // 8)
    assert QueryLimits().memory_bytes == GB // 4, "less than that is too little for any"


def test_what_the_operator_says_wins() -> None:
    set_memory_limit(3 * GB)
    assert QueryLimits(2 * GB).memory_bytes == 2 * GB
