"""The limits on failed rows that end a run."""

from __future__ import annotations

import threading

from headrace.flows.runtime.errors import RunFailed

_RATE_AFTER_ROWS = 1000
"""The rate is checked only after this many rows."""


class ErrorBudget:
    """Sums the failed rows of all partitions of a process and enforces `maxErrorRows` and `maxErrorRate`.

    When other processes load partitions of the same run, a process can only check its own rows against the limit on
    rows, and has no limit on the rate; the process that started the run checks the sums.
    """

    def __init__(self, max_rows: int, max_rate: float | None) -> None:
        self._max_rows, self._max_rate = max_rows, max_rate
        self._counts: dict[tuple[object, ...], tuple[int, int]] = {}
        self._lock = threading.Lock()

    def record(self, key: tuple[object, ...], failed: int, seen: int) -> None:
        """Sets the rows of one partition that failed and were read so far: totals, so that a replayed batch counts
        once. Raises RunFailed when a limit is exceeded, before the current batch is loaded."""
        with self._lock:
            self._counts[key] = (failed, seen)
            all_failed = sum(failed for failed, _ in self._counts.values())
            all_seen = sum(seen for _, seen in self._counts.values())
        if all_failed > self._max_rows:
            raise RunFailed(
                f"More than {self._max_rows:,} rows failed (errorHandling.maxErrorRows); "
                "the first of them are in the run's errors"
            )
        if self._max_rate is not None and all_seen >= _RATE_AFTER_ROWS and all_failed > self._max_rate * all_seen:
            raise RunFailed(
                f"{all_failed:,} of {all_seen:,} rows failed, more than errorHandling.maxErrorRate "
                f"({self._max_rate:.2%}) allows; the first of them are in the run's errors"
            )
