"""The metadata of messages as columns."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import msgspec
import polars as pl

from headrace.connectors.kafka.cluster import TopicPartition
from headrace.connectors.kafka.reading import Group
from headrace.ir.schema import DataType, Field

_TYPES: Mapping[str, DataType] = {
    "key": "text",
    "topic": "text",
    "partition": "integer",
    "offset": "bigint",
    "timestamp": "timestamptz",
    "headers": "json",
}


def columns_of(metadata: Mapping[str, str]) -> Mapping[str, Field]:
    """The metadata fields by their names in the settings."""
    return {name: Field(column, _TYPES[name]) for name, column in metadata.items()}


def metadata_of(name: str, group: Group, at: TopicPartition) -> pl.Series:
    """One metadata column of all messages. A key or a header that is not UTF-8 becomes Base64; a missing timestamp is
    null; headers are pairs, because names may repeat."""
    messages = group.messages
    match name:
        case "topic":
            return pl.Series(name, [at.topic], dtype=pl.String).new_from_index(0, len(messages))
        case "partition":
            return pl.Series(name, [at.partition], dtype=pl.Int32).new_from_index(0, len(messages))
        case "offset":
            return pl.Series(name, group.offsets)
        case "timestamp":
            stamps = [each.timestamp() for each in messages]
            millis = [None if kind == 0 else ms for kind, ms in stamps]
            return pl.Series(name, millis, dtype=pl.Int64).cast(pl.Datetime("ms", "UTC")).dt.cast_time_unit("us")
        case "key":
            return pl.Series(name, [_text(each.key()) for each in messages], dtype=pl.String)
    written = [
        None
        if (headers := each.headers()) is None
        else msgspec.json.encode([[key, _text(value)] for key, value in headers]).decode()
        for each in messages
    ]
    return pl.Series("headers", written, dtype=pl.String)


def _text(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()
