"""Prefetching: the next item is made while this one is used."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

_POLL_SECONDS = 0.2


class _Failed:
    def __init__(self, error: BaseException) -> None:
        self.error = error


_DONE = object()


def prefetch(items: Iterable[Item], depth: int = 1) -> Iterator[Item]:
    """The items in order, made by a thread of their own that keeps at most `depth` waiting. What the thread raises is
    raised here; when the consumer stops early, the thread stops at its next item and the items' own clean-up runs."""
    waiting: queue.Queue[object] = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def offer(item: object) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def produce() -> None:
        source = iter(items)
        try:
            for item in source:
                if not offer(item):
                    break
            offer(_DONE)
        except BaseException as error:  # noqa: BLE001 (raised again where the items are consumed)
            offer(_Failed(error))
        finally:
            if hasattr(source, "close"):
                source.close()

    thread = threading.Thread(target=produce, name="headrace-ahead", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not _DONE:
            if isinstance(item, _Failed):
                raise item.error
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join()
