"""Reads one shard, from a position to the moment of discovery."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.connectors.kinesis.errors import not_reached
from headrace.connectors.kinesis.records import Foreign, Record, taken_apart
from headrace.connectors.kinesis.service import MOST_RECORDS, Expired, Service
from headrace.connectors.kinesis.shards import Place, where_of

BATCH_BYTES = 32 << 20
"""Bytes of data after which a batch ends."""
_DATE_MS = 1000
"""The service tells its time in whole seconds: what arrived in the second of discovery is read with it."""
_LATE_MS = 60_000
"""How long after its arrival a record may come into sight. A shard counts as read up to so long before discovery: that
is compared with how long the stream keeps records, which is a day at least."""
_PAUSE_S = 0.25
"""Between two questions without records: a shard answers five in a second, to all who read it."""
_PATIENCE_S = 10.0
"""Seconds for which a closed shard may be silent before its end; the next run looks again."""
_SIGN_S = 5.0
"""Seconds without records after which there is an empty group, so that a run can end between two of them."""
_MOST_EXPIRED = 5


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is read of a shard. `place` is where it begins, `now` the service's time at discovery in milliseconds;
    `hashes` are the first and last hash key of the shard."""

    stream: str
    shard: str
    place: Place
    now: int
    closed: bool
    hashes: tuple[int, int]
    foreign: Foreign


class ShardReader:
    """Reads a stretch once.

    A shard has no end that could be asked for. It is read until a record arrived after discovery, or the service says
    that there is nothing more, or, where it is closed, until its end.
    """

    def __init__(self, service: Service, stretch: Stretch) -> None:
        self._service, self._stretch = service, stretch
        self._what = f"Reading {stretch.shard} of '{stretch.stream}'"

    def groups(self, most: int) -> Iterator[tuple[Sequence[Record], Place]]:
        """Records in their order, at most so many at a time, each group with the position after it. The last may be
        empty: its position says how far the shard is read. Raises SourceError."""
        held: list[Record] = []
        for records, place, is_last in self._pages():
            held += records
            size = sum(len(each.data) for each in held)
            while len(held) > most or (held and size >= BATCH_BYTES):
                group, held = held[:most], held[most:]
                size = sum(len(each.data) for each in held)
                yield group, self._within(group[-1])
            if is_last or not records:
                yield held, place
                held = []

    def _pages(self) -> Iterator[tuple[Sequence[Record], Place, bool]]:
        """What the service answers, taken apart, each with the position after it and whether it is the last."""
        stretch, place = self._stretch, dict(self._stretch.place)
        iterator, skip = self._begun(place)
        expired, life = 0, time.monotonic()
        silent: float | None = None
        while True:
            try:
                answer = self._service.records(iterator, self._what)
            except Expired:
                expired += 1
                if expired > _MOST_EXPIRED:
                    raise not_reached(self._what, "its iterators expire at once") from None
                iterator, skip = self._begun(place)
                continue
            expired = 0
            count = len(answer.records)
            late = (at for at, each in enumerate(answer.records) if each.arrival_ms > stretch.now + _DATE_MS)
            came = answer.records[: next(late, count)]
            parts: Sequence[Record] = ()
            if came:
                parts = taken_apart(came, *stretch.hashes, stretch.foreign)
                if skip is not None:
                    parts = [each for each in parts if each.sequence != skip[0] or (each.part or 0) > skip[1]]
                    skip = None
                place = self._place(came[-1])
                silent, life = None, time.monotonic()
            if answer.iterator is None and len(came) == count:
                yield parts, {**place, "ended": True}, True
                return
            caught_up = answer.behind_ms == 0 and count < MOST_RECORDS
            if caught_up and stretch.closed:
                silent = silent or time.monotonic()
                caught_up = time.monotonic() - silent > _PATIENCE_S
            if len(came) < count or caught_up or answer.iterator is None:
                yield parts, {**place, "until": max(int(place.get("until", 0)), stretch.now - _LATE_MS)}, True
                return
            if came:
                yield parts, place, False
            elif time.monotonic() - life > _SIGN_S:
                yield (), place, False
                life = time.monotonic()
            iterator = answer.iterator
            if not count:
                time.sleep(_PAUSE_S)

    def _begun(self, place: Place) -> tuple[str, tuple[str, int] | None]:
        """An iterator at a position, and the parts of its first record that were read: up to that of a number."""
        iterator = self._service.iterator(self._stretch.stream, self._stretch.shard, where_of(place))
        return iterator, None if place.get("sub") is None else (str(place["sequence"]), int(place["sub"]))

    def _place(self, record: Record) -> dict[str, Any]:
        """The position after a record with all its parts."""
        kept = {name: self._stretch.place[name] for name in ("created", "begin") if name in self._stretch.place}
        return {**kept, "sequence": record.sequence, "until": record.arrival_ms}

    def _within(self, record: Record) -> Place:
        """The position after a record or a part."""
        return self._place(record) | ({"sub": record.part} if record.more else {})
