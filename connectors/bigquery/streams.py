"""Partitions of a session: each is a stream, with all that another process needs to read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.connectors.bigquery.storage import ReadSession
from headrace.connectors.bigquery.types import Described, column
from headrace.connectors.errors import SourceError
from headrace.connectors.source import Partition, numbered_from
from headrace.connectors.sql.relation import Column

BYTES = 16 << 20
"""The approximate size of a batch in bytes."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A partition's stream: its columns as BigQuery describes them, and those that its rows are ordered by."""

    name: str
    expires: float
    described: Mapping[str, Described]
    order: Sequence[str]

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the stream, in another order than the stream's."""
        return tuple(map(column, self.described.values()))


def partitions(
    session: ReadSession, described: Sequence[Described], *, order: Sequence[str], label: str, cursor: str | None
) -> list[Partition]:
    """The partitions for the runtime."""
    count = len(session.streams)
    more = {"expires": session.expires, "fields": [dict(each) for each in described], "order": [*order]}
    return [
        Partition(
            index,
            numbered_from(index),
            session.rows // count,
            {"stream": stream, **more},
            counted=False,
            cursor=cursor,
            label=label if count == 1 else f"{label} [{index + 1}/{count}]",
        )
        for index, stream in enumerate(session.streams)
    ]


def stream_of(partition: Partition) -> Stream:
    """Parses a partition's location, which comes from JSON. Raises SourceError for an invalid one."""
    place = partition.location
    name, fields, order = place.get("stream"), place.get("fields"), place.get("order")
    if not isinstance(name, str) or not isinstance(fields, list) or not isinstance(order, list):
        raise SourceError("bad_position", "The partition does not say which stream it is.", "Start a new run.")
    return Stream(name, float(place.get("expires") or 0), {str(each["name"]): each for each in fields}, order)


def gathered(batches: Iterable[Any], rows: int) -> Iterator[Any]:
    """Combines the small record batches of a stream into batches of at most `rows` rows and about `BYTES`. Rows
    received before the stream was lost are returned first."""
    held: list[Any] = []
    try:
        for each in batches:
            for start in range(0, each.num_rows, rows):
                piece = each.slice(start, rows)
                if held and sum(one.num_rows for one in held) + piece.num_rows > rows:
                    yield _joined(held)
                    held = []
                held.append(piece)
            if sum(one.nbytes for one in held) > BYTES:
                yield _joined(held)
                held = []
    except SourceError:
        if held:
            yield _joined(held)
        raise
    if held:
        yield _joined(held)


def _joined(batches: list[Any]) -> Any:
    import pyarrow as pa

    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)
