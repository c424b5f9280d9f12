"""How many requests a key may make: a sliding window, estimated from two counters per key."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

_MANY_KEYS = 10_000
_ROUNDING = 1e-6


@dataclass(slots=True)
class _Count:
    window: int
    current: int = 0
    previous: int = 0


class RateLimiter:
    """`limit` requests per `window_s` seconds and key, in this process; a limit of 0 admits everything.

    The requests of the last window are taken as spread evenly, so the estimate of any window is off by a few per cent
    at most and a key costs two numbers. Not for use by several threads.
    """

    def __init__(self, limit: int, window_s: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._window_s = window_s
        self._clock = clock
        self._counts: dict[str, _Count] = {}

    def admit(self, key: str) -> int:
        """0 when the request is admitted, and counted; otherwise the seconds after which one will be."""
        if not self._limit:
            return 0
        window, passed = divmod(self._clock() / self._window_s, 1.0)
        count = self._count(key, int(window))
        if count.previous * (1 - passed) + count.current + 1 <= self._limit + _ROUNDING:
            count.current += 1
            return 0
        room = self._limit - 1
        if count.current <= room:  # the last window has to fade
            wait = 1 - passed - (room - count.current) / count.previous
        else:  # this one has to end, and then to fade
            wait = 1 - passed + 1 - room / count.current
        return max(1, math.ceil(wait * self._window_s))

    def _count(self, key: str, window: int) -> _Count:
        count = self._counts.get(key)
        if count is None:
            if len(self._counts) >= _MANY_KEYS:
                self._counts = {name: each for name, each in self._counts.items() if each.window >= window - 1}
            count = self._counts[key] = _Count(window)
        elif count.window != window:
            count.previous = count.current if count.window == window - 1 else 0
            count.window, count.current = window, 0
        return count
