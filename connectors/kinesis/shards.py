"""Which shards are read now, and from where: parents before children, each from its position.

A position is JSON: `created` of the stream (to tell it from another of its name), `sequence` of the last record that
was read, with `sub` where only the parts up to that one of an aggregated record were; `begin`, the time in
milliseconds before which nothing is read (`startAt` of the first run, where it was no oldest record); `until`, the time
up to which everything that arrived was read; `ended`, of a closed shard that was read to its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.connectors.kinesis.errors import made_anew, moment, records_gone
from headrace.connectors.kinesis.records import Shard, Summary

Place = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """The shards to read, each with the position to begin at, and remarks for people."""

    shards: Sequence[tuple[Shard, Place]]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a shard without a position begins. `begin` is a time or None for the oldest record; `open_only`: closed
    shards have nothing for us."""

    begin: int | None = None
    open_only: bool = False


def planned(
    stream: str,
    seen: Summary,
    shards: Sequence[Shard],
    cursors: Mapping[str, Place],
    first: Beginning,
    now_ms: int,
    *,
    goes_on: bool,
) -> Plan:
    """`cursors` are the positions by the shard's id, `first` is how the first run begins. With `goes_on` what is lost
    is a remark, else SourceError(`offsets_gone`)."""
    notes: list[str] = []
    created = round(seen.created)
    listed = {each.id: each for each in shards}
    known = {name: place for name, place in cursors.items() if place.get("created") in (None, created)}
    if others := {*listed} & ({*cursors} - {*known}):
        if not goes_on:
            raise made_anew(stream)
        notes.append(f"the stream {stream} was created again: read from its oldest record ({len(others):,} shards)")
        first = Beginning()
    if known:
        begins = [int(place["begin"]) for place in known.values() if place.get("begin") is not None]
        first = Beginning(min(begins, default=None))
    passed = _ancestors(listed, known)
    gone = {
        parent
        for each in shards
        if each.id not in known and each.id not in passed
        for parent in each.parents
        if parent not in listed and parent in known and not known[parent].get("ended")
    }
    horizon = now_ms - seen.hours * 3_600_000
    for name in sorted(gone):
        _lost(name, known[name], seen.hours, notes, goes_on=goes_on)
    found: list[tuple[Shard, Place]] = []
    waiting: list[str] = []
    for each in shards:
        place = known.get(each.id)
        if place is None:
            if each.id in passed or (first.open_only and each.closed):
                continue
            if not first.open_only and not all(_done(name, listed, known, passed) for name in each.parents):
                waiting.append(each.id)
                continue
            place = {"created": created} | ({} if first.begin is None else {"begin": first.begin})
        elif place.get("ended"):
            continue
        elif place.get("until") is not None and int(place["until"]) < horizon:
            _lost(each.id, place, seen.hours, notes, goes_on=goes_on)
            begin = {} if place.get("begin") is None else {"begin": place["begin"]}
            place = {"created": created, "until": horizon, **begin}
        found.append((each, place))
    if waiting:
        notes.append(f"read by the next run, when the shards before them are at their end: {', '.join(waiting[:8])}")
    return Plan(found, notes)


def _lost(name: str, place: Place, hours: int, notes: list[str], *, goes_on: bool) -> None:
    until = place.get("until")
    if not goes_on:
        raise records_gone(name, None if until is None else int(until), hours)
    since = "" if until is None else f" after {moment(int(until))}"
    notes.append(f"{name} may have lost records that came{since}: read from the oldest")


def _ancestors(listed: Mapping[str, Shard], known: Mapping[str, Place]) -> set[str]:
    """The shards before those that were read: they were read too, or are from before the first run."""
    found: set[str] = set()
    left = [parent for name in known if name in listed for parent in listed[name].parents]
    while left:
        name = left.pop()
        if name in listed and name not in known and name not in found:
            found.add(name)
            left += listed[name].parents
    return found


def _done(name: str, listed: Mapping[str, Shard], known: Mapping[str, Place], passed: set[str]) -> bool:
    """Whether there is nothing left to read of a parent. One that is not listed is not kept any more."""
    if name not in listed or name in passed:
        return True
    return bool(name in known and known[name].get("ended"))


def where_of(place: Place) -> dict[str, Any]:
    """What an iterator is asked for with, to go on at a position."""
    if (sequence := place.get("sequence")) is not None:
        kind = "AFTER_SEQUENCE_NUMBER" if place.get("sub") is None else "AT_SEQUENCE_NUMBER"
        return {"ShardIteratorType": kind, "StartingSequenceNumber": str(sequence)}
    if (begin := place.get("begin")) is not None:
        return {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": max(int(begin), int(place.get("until", 0))) / 1000}
    return {"ShardIteratorType": "TRIM_HORIZON"}


def checked(place: object, name: str) -> Place:
    """A position as it was stored, or as a person set it. Raises SourceError(`bad_cursor`)."""
    if isinstance(place, Mapping):
        numbers = [place.get(each) for each in ("created", "begin", "until", "sub")]
        sequence = place.get("sequence")
        sound = sequence is None or (isinstance(sequence, str) and sequence.isdigit() and len(sequence) <= 129)
        if sound and all(each is None or (isinstance(each, int) and not isinstance(each, bool)) for each in numbers):
            return place
    raise SourceError(
        "bad_cursor",
        f"The cursor '{name}' is no position of a shard.",
        'Write {"created": …, "sequence": "49…"} as a run does, or remove it: `headrace cursors`.',
    )
