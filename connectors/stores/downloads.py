"""Downloads a file in byte ranges, several at a time, each retried after a cut connection."""

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
    raises Cut. Raises SourceError(`connection_lost`), OSError, and any other error of `fetch`."""

    def one(start: int) -> None:
        end, failures = min(size, start + unit), 0
        while start < end:
            try:
                got = fetch(start, end)
                if not len(got):
                    raise ConnectionCut("it ended too early")
            except ConnectionCut as cut:
                failures += 1
                if failures >= TRIES:
                    raise SourceError(
                        "connection_lost",
                        f"The connection was cut {TRIES} times at the same place: {cut}.",
                        "Retry the run: it continues after what is committed.",
                    ) from None
                time.sleep(_PAUSE_S * 2**failures)
                continue
            failures = 0
            write_at(into, got, start)
            start += len(got)

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
