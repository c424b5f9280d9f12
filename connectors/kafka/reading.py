"""Reads one topic partition, from an offset to an end, in groups of messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace.connectors.kafka.cluster import Reader, TopicPartition
from headrace.connectors.kafka.errors import GONE

BATCH_BYTES = 32 << 20
"""Bytes of payloads after which a group ends."""
SILENT_SECONDS = 60.0
"""Seconds without a message, before the end offset, after which a broker is considered lost."""

_ASKED = 10_000
_WAIT_S = 0.25


@dataclass(frozen=True, slots=True)
class Group:
    """Consecutive messages (confluent_kafka's), their offsets, and the offset to continue at."""

    messages: list[Any]
    offsets: npt.NDArray[np.int64]
    next_offset: int


class PartitionReader:
    """Reads with one consumer, which the caller closes. `resume` is given the offset whose messages are gone; it
    returns the oldest that there is, or raises SourceError."""

    def __init__(
        self,
        reader: Reader,
        at: TopicPartition,
        end: int,
        resume: Callable[[int], int],
        *,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        from confluent_kafka import Message

        # Called by `map`, so that no line of Python runs for each message.
        self._error_of: Callable[[Any], Any] = Message.error
        self._offset_of: Callable[[Any], Any] = Message.offset
        self._reader, self._at, self._end, self._resume = reader, at, end, resume
        self._silent_seconds = silent_seconds
        self._next = 0

    def groups(self, offset: int, most: int) -> Iterator[Group]:
        """Messages from `offset` to below the end, at most so many at a time. After the last one that is there, no
        further group says that the end is reached. Raises SourceError."""
        self._reader.begin(self._at, offset)
        self._next = offset
        messages: list[Any] = []
        offsets: list[npt.NDArray[np.int64]] = []
        size, heard = 0, monotonic()
        while self._next < self._end:
            came = self._reader.some(min(most - len(messages), self._end - self._next, _ASKED), _WAIT_S)
            for some, numbers in self._runs(came):
                messages += some
                offsets.append(numbers)
                size += sum(map(len, some))
            if came:
                heard = monotonic()
            if messages and (len(messages) >= most or size >= BATCH_BYTES or self._next >= self._end):
                yield Group(messages, np.concatenate(offsets), self._next)
                messages, offsets, size = [], [], 0
                heard = monotonic()
            elif not came:
                self._check_silence(heard)

    def _runs(self, came: list[Any]) -> Iterator[tuple[list[Any], npt.NDArray[np.int64]]]:
        """The messages between events, as far as they are below the end. Events come as messages with an error: they
        are few."""
        errors = list(map(self._error_of, came))
        events = [place for place, each in enumerate(errors) if each is not None] if any(errors) else []
        begin = 0
        for place in [*events, len(came)]:
            some = came[begin:place]
            if some:
                numbers = np.fromiter(map(self._offset_of, some), dtype=np.int64, count=len(some))
                below = int(np.searchsorted(numbers, self._end))
                if below:
                    yield some[:below], numbers[:below]
                self._next = self._end if below < len(some) else int(numbers[-1]) + 1
            if self._next >= self._end:
                return
            if place < len(came):
                self._event(errors[place], came[place])
            begin = place + 1

    def _event(self, error: Any, message: Any) -> None:
        if error.name() == "_PARTITION_EOF":
            self._next = max(self._next, int(message.offset()))
        elif error.name() in GONE:
            low = self._resume(self._next)
            if low < self._end:
                self._reader.begin(self._at, low)
            self._next = min(low, self._end)
        elif error.fatal() or not error.retriable():
            raise self._reader.failure(error, f"Reading {self._at}")

    def _check_silence(self, heard: float) -> None:
        if (refused := self._reader.refused) is not None:
            raise refused
        if monotonic() - heard > self._silent_seconds:
            raise self._reader.silent(f"Reading {self._at}", self._silent_seconds)
