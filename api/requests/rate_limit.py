"""Rate limit per key or address: a sliding window, estimated from two counters per key."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_MAX_KEYS = 10_000
_ROUNDING = 1e-6


@dataclass(slots=True)
class _Count:
    window: int
    current: int = 0
    previous: int = 0


class RateLimiter:
    """`limit` requests per `window_s` seconds and key, in this process; a limit of 0 admits everything.

    Requests of the previous window are assumed to be evenly spread: the estimate is off by a few per cent at most, and
    a key costs two numbers. Above ten thousand keys the least recently used are dropped. Not thread-safe.
    """

    def __init__(self, limit: int, window_s: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._window_s = window_s
        self._clock = clock
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def admit(self, key: str) -> int:
        """Counts the request and returns 0 if it is admitted; otherwise returns the seconds to wait."""
        return self._ask(key, 1)

    def wait(self, key: str) -> int:
        """What `admit` would return, without counting a request."""
        return self._ask(key, 0)

    def __len__(self) -> int:
        """Number of keys with counters."""
        return len(self._counts)

    def _ask(self, key: str, counted: int) -> int:
        if not self._limit:
            return 0
        window, passed = divmod(self._clock() / self._window_s, 1.0)
        count = self._count(key, int(window))
        if count.previous * (1 - passed) + count.current + 1 <= self._limit + _ROUNDING:
            count.current += counted
            return 0
        room = self._limit - 1
        if count.current <= room:  # the share of the previous window has to shrink
            wait = 1 - passed - (room - count.current) / count.previous
        else:  # the current window has to end, and its share to shrink
            wait = 1 - passed + 1 - room / count.current
        return max(1, math.ceil(wait * self._window_s))

    def _count(self, key: str, window: int) -> _Count:
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = _Count(window)
            if len(self._counts) > _MAX_KEYS:
                self._counts.popitem(last=False)
        else:
            self._counts.move_to_end(key)
        if count.window != window:
            count.previous = count.current if count.window == window - 1 else 0
            count.window, count.current = window, 0
        return count


def address_key(address: str) -> str:
    """The key an address is counted under: itself, or for IPv6 its /64 network, all of which belongs to the client."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped) if mapped is not None else str(ipaddress.ip_network((int(found), 64), strict=False))
    return str(found)
