"""How many rows may fail before a run is given up."""

from __future__ import annotations

import threading

_RATE_AFTER_ROWS = 1000
"""A rate is not judged on fewer rows than these."""


class RunFailed(Exception):
    """The run cannot go on; the text is meant for a person and becomes the run's failure reason."""


class ErrorBudget:
    """Adds up failed rows over all partitions of a process, and says when it is enough.

    Where others load partitions too, a process can only know that its own part is too much already: it has the limit
    on rows and none on the rate, and whoever began the run judges the sum.
    """

    def __init__(self, max_rows: int, max_rate: float | None) -> None:
        self._max_rows, self._max_rate = max_rows, max_rate
        self._counts: dict[tuple[object, ...], tuple[int, int]] = {}
        self._lock = threading.Lock()

    def record(self, key: tuple[object, ...], failed: int, seen: int) -> None:
        """Sets what one partition has failed and seen so far (absolute, so a replayed batch counts once). Raises
        RunFailed, before the batch at hand is loaded, when a limit is passed."""
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
