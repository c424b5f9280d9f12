"""What the service answers, as it is on the wire, and records with those in aggregated ones taken apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from headrace.connectors.kinesis.aggregation import MAGIC, parts_of

Foreign = Literal["error", "skip", "keep"]


class Record(msgspec.Struct, gc=False):
    """A record. `part` is its place in the aggregated one that it came in; `more`: others of that one follow;
    `foreign`: its key belongs to another shard."""

    data: bytes = msgspec.field(name="Data")
    sequence: str = msgspec.field(name="SequenceNumber")
    key: str = msgspec.field(name="PartitionKey", default="")
    arrival: float = msgspec.field(name="ApproximateArrivalTimestamp", default=0.0)
    part: int | None = msgspec.field(name="-part", default=None)
    more: bool = msgspec.field(name="-more", default=False)
    foreign: bool = msgspec.field(name="-foreign", default=False)

    @property
    def arrival_ms(self) -> int:
        """When it arrived, in milliseconds since 1970."""
        return round(self.arrival * 1000)


class Records(msgspec.Struct, gc=False):
    """The answer of GetRecords. `iterator` is None at the end of a closed shard."""

    records: list[Record] = msgspec.field(name="Records")
    iterator: str | None = msgspec.field(name="NextShardIterator", default=None)
    behind_ms: int = msgspec.field(name="MillisBehindLatest", default=0)


class Opened(msgspec.Struct):
    """The answer of GetShardIterator."""

    iterator: str = msgspec.field(name="ShardIterator")


class _Range(msgspec.Struct):
    first: str = msgspec.field(name="StartingHashKey", default="0")
    last: str = msgspec.field(name="EndingHashKey", default=str(2**128 - 1))


class _Sequences(msgspec.Struct):
    last: str | None = msgspec.field(name="EndingSequenceNumber", default=None)


class Shard(msgspec.Struct):
    """A shard as ListShards has it."""

    id: str = msgspec.field(name="ShardId")
    hashes: _Range = msgspec.field(name="HashKeyRange", default_factory=_Range)
    sequences: _Sequences = msgspec.field(name="SequenceNumberRange", default_factory=_Sequences)
    parent: str | None = msgspec.field(name="ParentShardId", default=None)
    other_parent: str | None = msgspec.field(name="AdjacentParentShardId", default=None)

    @property
    def parents(self) -> tuple[str, ...]:
        """Those whose records come before its own."""
        return tuple(each for each in (self.parent, self.other_parent) if each)

    @property
    def closed(self) -> bool:
        """Whether it was split or merged: nothing comes any more."""
        return self.sequences.last is not None


class Shards(msgspec.Struct):
    """The answer of ListShards."""

    shards: list[Shard] = msgspec.field(name="Shards")
    more: str | None = msgspec.field(name="NextToken", default=None)


class Summary(msgspec.Struct):
    """What DescribeStreamSummary says of a stream."""

    created: float = msgspec.field(name="StreamCreationTimestamp", default=0.0)
    hours: int = msgspec.field(name="RetentionPeriodHours", default=24)
    open_shards: int | None = msgspec.field(name="OpenShardCount", default=None)
    status: str = msgspec.field(name="StreamStatus", default="ACTIVE")


class Described(msgspec.Struct):
    """The answer of DescribeStreamSummary."""

    summary: Summary = msgspec.field(name="StreamDescriptionSummary")


class Streams(msgspec.Struct):
    """The answer of ListStreams."""

    names: list[str] = msgspec.field(name="StreamNames")
    has_more: bool = msgspec.field(name="HasMoreStreams", default=False)
    more: str | None = msgspec.field(name="NextToken", default=None)


class Refusal(msgspec.Struct):
    """An error of the service."""

    type: str = msgspec.field(name="__type", default="")
    message: Any = None
    said: Any = msgspec.field(name="Message", default=None)


def taken_apart(records: Sequence[Record], first: int, last: int, foreign: Foreign) -> Sequence[Record]:
    """The records of a shard that has the hash keys `first` to `last`, those in aggregated ones each by itself."""
    if not any(each.data[:4] == MAGIC for each in records):
        return records
    return [part for each in records for part in _parts(each, first, last, foreign)]


def _parts(record: Record, first: int, last: int, foreign: Foreign) -> Iterator[Record]:
    found = parts_of(record.data)
    if found is None:
        yield record
        return
    for place, part in enumerate(found):
        elsewhere = not first <= part.hash_key <= last
        if elsewhere and foreign == "skip":
            continue
        wrong = elsewhere and foreign == "error"
        more = place + 1 < len(found)
        yield Record(part.data, record.sequence, part.key, record.arrival, place, more, wrong)
