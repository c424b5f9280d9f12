"""Rate limit of requests, and the wait after a 429 or 503."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

RETRIED = (408, 425, 429, 500, 502, 503, 504)
_SINCE_1970 = 1_000_000_000
_IN_MS = 1_000_000_000_000
_RESETS = ("x-ratelimit-reset", "ratelimit-reset", "x-rate-limit-reset")
_LEFT = ("x-ratelimit-remaining", "ratelimit-remaining", "x-rate-limit-remaining")
_LONGEST_PAUSE = 60.0


@dataclass(slots=True)
class Pace:
    """The rate limit shared by all threads of one API. `per_second` bounds requests; a limit that the API reports is
    kept too."""

    per_second: float | None = None
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    _next: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def before(self) -> None:
        """Waits for the turn of a request."""
        with self._lock:
            now = self.clock()
            begin = max(self._next, now)
            self._next = begin + (1 / self.per_second if self.per_second else 0.0)
        if begin > now:
            self.sleep(begin - now)

    def after(self, headers: Mapping[str, str], *, longest: float) -> None:
        """Reads the rate-limit headers: with no requests left, the next request waits for the reset."""
        left = next((headers[name] for name in _LEFT if name in headers), None)
        if left is not None and left.strip() == "0":
            wait = _reset(headers, self.clock())
            if wait is not None and 0 < wait <= longest:
                with self._lock:
                    self._next = max(self._next, self.clock() + wait)


def requested_wait(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds to wait by Retry-After or a reset header; None without either."""
    given = headers.get("retry-after", "").strip()
    if given:
        try:
            return max(0.0, float(given))
        except ValueError:
            try:
                return max(0.0, parsedate_to_datetime(given).timestamp() - now)
            except (ValueError, TypeError):
                pass
    return _reset(headers, now)


def pause(tries: int) -> float:
    """Seconds before the next attempt without a Retry-After: exponential backoff with jitter."""
    return float(min(_LONGEST_PAUSE, 2.0**tries)) * random.uniform(0.5, 1.0)  # noqa: S311


def _reset(headers: Mapping[str, str], now: float) -> float | None:
    """Parses a reset header: seconds, or a timestamp in seconds or milliseconds since 1970."""
    for name in _RESETS:
        try:
            number = float(headers[name])
        except (KeyError, ValueError):
            continue
        if number >= _IN_MS:
            number /= 1000
        return max(0.0, number - now) if number >= _SINCE_1970 else max(0.0, number)
    return None
