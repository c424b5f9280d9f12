"""A run is given up when too many rows failed, however often a batch is counted."""

from __future__ import annotations

import pytest

from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.limits import ErrorBudget


def test_rows_add_up_over_partitions() -> None:
    budget = ErrorBudget(10, None)
    budget.record((0, 0), 6, 100)
    budget.record((0, 1), 4, 100)
    with pytest.raises(RunFailed, match="More than 10 rows failed"):
        budget.record((0, 1), 5, 200)


def test_a_batch_reported_again_counts_once() -> None:
    budget = ErrorBudget(10, None)
    for _ in range(5):
        budget.record((0, 0), 10, 100)


def test_a_rate_is_evaluated_on_enough_rows_only() -> None:
    budget = ErrorBudget(10**6, 0.1)
    budget.record((0, 0), 500, 999)
    with pytest.raises(RunFailed, match="maxErrorRate"):
        budget.record((0, 0), 500, 1000)
    assert ErrorBudget(10**6, 0.5).record((0, 0), 500, 1000) is None
