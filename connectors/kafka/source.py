"""Topics as a source: each topic-partition is a partition, from a stored offset to the end offset at discovery."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.files.delimited.dialect import near
from headrace.connectors.files.patterns import expression_of, matching
from headrace.connectors.kafka.cluster import Cluster, Reader, TopicPartition
from headrace.connectors.kafka.errors import offsets_gone, topic_recreated
from headrace.connectors.kafka.login import access
from headrace.connectors.kafka.metadata import columns_of, metadata_of
from headrace.connectors.kafka.reading import SILENT_SECONDS, Group, PartitionReader
from headrace.connectors.kafka.registry import SchemaRegistry
from headrace.connectors.kafka.settings import settings_of
from headrace.connectors.messages.columns import all_columns, own_columns, typed
from headrace.connectors.messages.formats import Layout, layout
from headrace.connectors.messages.looking import first_new, types_of_new
from headrace.connectors.messages.messages import Messages
from headrace.connectors.messages.rows import MessageRows
from headrace.connectors.messages.stored import layout_from, layout_to
from headrace.connectors.source import (
    Batch,
    Discovery,
    Fitting,
    Partition,
    Position,
    Restart,
    StreamFound,
    Wanted,
    numbered_from,
)
from headrace.ir.schema import Schema

BATCH_ROWS = 50_000
"""The most messages of a batch."""

_SAMPLED = 1_000
_SAMPLED_PARTITIONS = 8


class KafkaSource:
    """Implements `Source`, `Incremental` and `Closing`. It restarts at boundaries, not exactly: compaction removes
    messages between two offsets."""

    def __init__(self, context: Context) -> None:
        self._settings = settings_of(context.settings)
        self._access = access(context)
        self._declared = context.fields
        self._metadata = columns_of(self._settings.metadata)
        self._registry = SchemaRegistry(self._access) if self._access.place.schema_registry_url else None
        self._known: Cluster | None = None
        self._cursors: Mapping[str, Position] = {}
        self._notes: list[str] = []
        self._sampled: Sequence[bytes] | None = None
        self.silent_seconds = SILENT_SECONDS

    @property
    def note(self) -> str | None:
        """None: notes are in `Discovery.notes`."""
        return None

    def begin_at(self, cursors: Mapping[str, Position]) -> None:
        """The offsets after what was loaded, by `topic/partition`."""
        self._cursors = cursors

    def fingerprint(self) -> str | None:
        """None: a topic has no version to check."""
        return None

    def close(self) -> None:
        """Closes the client."""
        self._known = None

    def discover(self, *, max_partitions: int) -> Discovery:
        """One partition for each topic partition with new messages, in any number: each has its own cursor."""
        del max_partitions
        self._notes = []
        everyone = self._partitions()
        low = self._cluster.earliest(everyone)
        high = self._cluster.latest(everyone, committed=self._committed)
        ids = self._cluster.ids(sorted({each.topic for each in everyone}))
        found = self._layout(low, high)
        if found is None:
            return Discovery((), (), 0, None, restart=Restart.BOUNDARY, notes=("no message says which columns it has",))
        stored = layout_to(found)
        first = self._first(everyone, low, high)
        partitions: list[Partition] = []
        for each in everyone:
            name = f"{each.topic}/{each.partition}"
            start = self._start(each, name, first[each], low[each], high[each], ids.get(each.topic))
            if start >= high[each] and name in self._cursors:
                continue
            location = {
                "topic": each.topic,
                "partition": each.partition,
                "start": start,
                "end": max(start, high[each]),
                "id": ids.get(each.topic),
                "layout": stored,
            }
            index, rows = len(partitions), max(0, high[each] - start)
            partitions.append(
                Partition(index, numbered_from(index), rows, location, counted=False, cursor=name, label=str(each))
            )
        columns = all_columns(self._settings, found, self._metadata, self._declared)
        besides = {field.name for field in columns} - {field.name for field in found.fields}
        return Discovery(
            columns,
            partitions,
            sum(each.rows for each in partitions),
            None,
            found.sure | besides,
            found.guessed,
            tuple(self._notes),
            Restart.BOUNDARY,
        )

    def types_of(self, columns: Collection[str]) -> Mapping[str, Fitting]:
        """The types of the columns in all new messages, which are read for this."""
        return types_of_new(self, columns)

    def sample(self, rows: int) -> pl.DataFrame:
        """The first new messages, else the newest messages."""
        return first_new(self, rows)

    def found(self) -> StreamFound:
        """Describes the topic in the settings, with its columns."""
        seen = self.discover(max_partitions=1)
        name = self._settings.topic or ",".join(sorted({each.topic for each in self._partitions()}))
        return StreamFound(name, {"topic": name}, "topic", seen.schema, guessed=seen.guessed)

    def read(
        self,
        partition: Partition,
        schema: Schema,
        *,
        wanted: Wanted | None = None,
        rows_done: int = 0,
        position: Position | None = None,
    ) -> Iterator[Batch]:
        """`position` is the offset after the last message."""
        place = partition.location
        at, end = TopicPartition(place["topic"], int(place["partition"])), int(place["end"])
        offset = int(position["offset"]) if position is not None else int(place["start"])
        found = layout_from(place["layout"])
        chosen = tuple(field for field in schema if wanted is None or field.name in wanted.columns)
        rows = MessageRows(self._settings, typed(found, schema), chosen, self._metadata, self._registry)
        most = min((wanted and wanted.batch_rows) or BATCH_ROWS, BATCH_ROWS)
        topic_id = place.get("id")

        def position_at(next_offset: int) -> dict[str, Any]:
            return {"offset": next_offset} | ({"topic": topic_id} if topic_id else {})

        complete = False
        if offset < end:
            with _Closing(self._cluster.consumer(committed=self._committed)) as reader:
                for group in self._reading(reader, at, end).groups(offset, most):
                    after = position_at(group.next_offset)
                    batch = rows.batch(self._as_columns(group, at), partition.first_row, rows_done, after)
                    rows_done, complete = batch.rows_done, group.next_offset >= end
                    yield batch
        if not complete:
            # If the last offsets have no message (transaction markers, compaction), or if there is nothing
            # to read yet, the cursor must be stored nevertheless.
            nothing = self._as_columns(Group([], np.zeros(0, dtype=np.int64), offset), at)
            yield rows.batch(nothing, partition.first_row, rows_done, position_at(max(offset, end)))

    # --- reading

    def _reading(self, reader: Reader, at: TopicPartition, end: int) -> PartitionReader:
        def resume(gone: int) -> int:
            """The oldest available offset, if the settings allow to continue there after lost messages."""
            low = self._cluster.earliest([at])[at]
            if self._settings.on_missing_offsets != "earliest":
                raise offsets_gone(str(at), gone, low, None)
            return low

        return PartitionReader(reader, at, end, resume, silent_seconds=self.silent_seconds)

    def _as_columns(self, group: Group, at: TopicPartition) -> Messages:
        from confluent_kafka import Message

        def places(among: pl.Series) -> pl.Series:
            offsets = pl.Series("place", group.offsets).gather(among)
            return offsets.to_frame().select(pl.format("{} offset {}", pl.lit(str(at)), "place")).to_series()

        messages = group.messages
        found_of = {name: metadata_of(name, group, at) for name in self._settings.metadata}
        # `map`, so that no line of Python runs for each message
        values: Sequence[bytes | None] = list(map(Message.value, messages))
        keys: Sequence[bytes | None] = list(map(Message.key, messages))
        return Messages(values, places, keys, found_of)

    # --- discovery

    @property
    def _cluster(self) -> Cluster:
        if self._known is None:
            self._known = Cluster(self._access)
        return self._known

    @property
    def _committed(self) -> bool:
        return self._settings.isolation == "read_committed"

    def _partitions(self) -> list[TopicPartition]:
        there = self._cluster.topics()
        settings = self._settings
        if settings.topic_pattern is not None:
            names = sorted(there)
            fits = matching(expression_of("glob", settings.topic_pattern), names)
            topics = [name for name, fit in zip(names, fits, strict=True) if fit]
            if not topics:
                raise SourceError("unknown_topic", f"No topic matches '{settings.topic_pattern}'.", "Check it.")
        else:
            topics = sorted({settings.topic} if settings.topic else {*(settings.topics or ())})
            if missing := [name for name in topics if name not in there]:
                raise SourceError(
                    "unknown_topic",
                    f"The cluster has no topic '{missing[0]}' that this login may see.",
                    near(missing[0], sorted(there)) or "Check its name, and that the user may describe it.",
                )
        return [TopicPartition(topic, number) for topic in topics for number in range(there[topic])]

    def _first(
        self, everyone: Sequence[TopicPartition], low: Mapping[TopicPartition, int], high: Mapping[TopicPartition, int]
    ) -> Mapping[TopicPartition, int]:
        """The start offset of partitions without a cursor; partitions created after the first run start at their first
        message."""
        new = [each for each in everyone if f"{each.topic}/{each.partition}" not in self._cursors]
        if self._cursors or self._settings.start_at == "earliest":
            return low
        if (ms := self._settings.start_ms) is None:
            return high
        since = self._cluster.since(new, ms)
        return {**low, **{each: high[each] if offset < 0 else offset for each, offset in since.items()}}

    def _start(self, each: TopicPartition, name: str, first: int, low: int, high: int, topic_id: str | None) -> int:
        position = self._cursors.get(name)
        if position is None:
            return max(first, low)
        offset = int(position["offset"])
        goes_on = self._settings.on_missing_offsets == "earliest"
        before = position.get("topic")
        if before and topic_id and before != topic_id:
            if not goes_on:
                raise topic_recreated(each.topic)
            self._notes.append(f"the topic {each.topic} was recreated: read from its oldest message")
            return low
        if low <= offset <= high:
            return offset
        if offset > high and not self._ahead(each, offset):
            return offset
        if not goes_on:
            raise offsets_gone(str(each), offset, low, high)
        self._notes.append(f"{each} has lost the messages from offset {offset:,} on: read from {low:,}")
        return low

    def _ahead(self, each: TopicPartition, offset: int) -> bool:
        """Whether an offset is after all messages, those of open transactions included."""
        return not self._committed or offset > self._cluster.latest([each], committed=False)[each]

    def _layout(self, low: Mapping[TopicPartition, int], high: Mapping[TopicPartition, int]) -> Layout | None:
        topic = self._settings.topic or min(each.topic for each in low)

        def sample() -> Sequence[bytes]:
            if self._sampled is None:
                self._sampled = self._newest(low, high)
            return self._sampled

        return layout(self._settings, own_columns(self._settings, self._declared), sample, self._registry, topic)

    def _newest(self, low: Mapping[TopicPartition, int], high: Mapping[TopicPartition, int]) -> list[bytes]:
        """Values of the newest messages of some partitions, already read or not."""
        filled = sorted((each for each in low if high[each] > low[each]), key=lambda each: low[each] - high[each])
        some = filled[:_SAMPLED_PARTITIONS]
        values: list[bytes] = []
        for each in some:
            begin = max(low[each], high[each] - max(1, _SAMPLED // len(some)))
            with _Closing(self._cluster.consumer(committed=self._committed)) as reader:
                for group in self._reading(reader, each, high[each]).groups(begin, BATCH_ROWS):
                    values += [value for message in group.messages if (value := message.value()) is not None]
        return values


class _Closing:
    """Closes a reader at the end of reading or after an error."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def __enter__(self) -> Reader:
        return self._reader

    def __exit__(self, *_: object) -> None:
        self._reader.close()
