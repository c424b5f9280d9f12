"""What requests of this process are waiting for, for the state of its run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

_SHOWN_S = 2.0
"""Shorter waits are not shown."""

_lock = threading.Lock()
_waiting: dict[int, str] = {}


def wait(sleep: Callable[[float], None], why: str, seconds: float) -> None:
    """Sleeps; meanwhile `reason` says why, and until when."""
    if seconds < _SHOWN_S:
        return sleep(seconds)
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    me = threading.get_ident()
    with _lock:
        _waiting[me] = f"{why}; the next request is at {until:%H:%M:%S} UTC"
    try:
        sleep(seconds)
    finally:
        with _lock:
            _waiting.pop(me, None)


def reason() -> str | None:
    """What the longest waiting thread waits for; None if none does."""
    with _lock:
        return next(iter(_waiting.values()), None)
