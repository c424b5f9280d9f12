"""Rate limit of requests: `requestsPerSecond`, and the pauses that a provider asks for."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from headrace.flows.enrich.provider import Interrupted

LONGEST_WAIT_S = 300.0
"""The longest pause, if a provider asks for a longer one."""


class RateLimiter:
    """The rate limit of one provider, shared by threads."""

    def __init__(self, stopped: threading.Event, per_second: float | None) -> None:
        self._stopped, self._interval = stopped, 1 / per_second if per_second else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Waits until a request may begin. Raises Interrupted."""
        while True:
            with self._lock:
                now = time.monotonic()
                if (left := self._next - now) <= 0:
                    self._next = now + self._interval
                    break
            self.sleep(left)
        if self._stopped.is_set():
            raise Interrupted

    def hold(self, seconds: float) -> None:
        """Lets no request begin for `seconds`."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + min(seconds, LONGEST_WAIT_S))

    def sleep(self, seconds: float) -> None:
        """Sleeps for `seconds`. Raises Interrupted when the run stops meanwhile."""
        if self._stopped.wait(seconds):
            raise Interrupted


def retry_after(header: str | None) -> float | None:
    """The seconds of a `Retry-After` header, which may be a date; None where it is invalid."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
