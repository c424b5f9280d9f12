"""Downloads of files that go on after a cut connection: in byte ranges, several at a time, or from one stream."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from headrace.connectors.errors import SourceError

RANGE_BYTES = 8 << 20
AT_ONCE = 4
TRIES = 5
_PAUSE_S = 0.2


class ConnectionCut(Exception):
    """A connection ended before all bytes arrived; a new request may get the rest."""


def write_at(into: int, data: bytes | memoryview, offset: int) -> None:
    """Writes all of `data` at the offset. Raises OSError."""
    left = memoryview(data)
    while left:
        count = os.pwrite(into, left, offset)
        left, offset = left[count:], offset + count


def download_ranges(
    size: int, into: int, fetch: Callable[[int, int], memoryview], *, at_once: int = AT_ONCE, unit: int = RANGE_BYTES
) -> None:
    """Fills an open file. `fetch(start, end)` returns the bytes from `start` to `end`, or fewer (at least one), or
    raises ConnectionCut. Raises SourceError(`connection_lost`), OSError, and any other error of `fetch`."""

    def one(start: int) -> None:
        def more(at: int) -> int:
            got = fetch(at, min(size, start + unit))
            write_at(into, got, at)
            return at + len(got)

        retried(start, min(size, start + unit), more)

    starts = range(0, size, unit)
    if len(starts) <= 1 or at_once == 1:
        for start in starts:
            one(start)
        return
    with ThreadPoolExecutor(at_once, thread_name_prefix="ranges") as pool:
        try:
            for _ in pool.map(one, starts):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def retried(start: int, end: int, more: Callable[[int], int]) -> None:
    """Calls `more(place)`, which stores bytes from there on and returns where they end, until that is `end`. Raises
    SourceError(`connection_lost`) after `TRIES` calls in a row that got nothing or raised ConnectionCut, and any other
    error of `more`."""
    failures = 0
    while start < end:
        try:
            reached = more(start)
            if reached <= start:
                raise ConnectionCut("it ended too early")
        except ConnectionCut as cut:
            failures += 1
            if failures >= TRIES:
                raise SourceError(
                    "connection_lost",
                    f"The connection was cut {TRIES} times at the same place: {cut}.",
                    "Retry the run: it goes on behind what is committed.",
                ) from None
            time.sleep(_PAUSE_S * 2**failures)
            continue
        start, failures = reached, 0
