"""The metadata of messages as columns."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import polars as pl
from polars.exceptions import PolarsError

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

_NEXT = "[89ab]."
_WELL_FORMED = (
    "[0-7].",
    f"(?:c[2-9a-f]|d.){_NEXT}",
    f"(?:e0[ab].|e[1-9abcef][89ab].|ed[89].){_NEXT}",
    f"(?:f0[9ab].|f[1-3][89ab].|f48.){_NEXT}{_NEXT}",
)
_UTF8_IN_HEX = f"^(?:{'|'.join(_WELL_FORMED)})*$"
"""Table 3-7 of the Unicode standard, for bytes written as hexadecimal digits."""


def columns_of(metadata: Mapping[str, str]) -> Mapping[str, Field]:
    """The metadata fields by their names in the settings."""
    return {name: Field(column, _TYPES[name]) for name, column in metadata.items()}


def metadata_of(name: str, group: Group, at: TopicPartition) -> pl.Series:
    """One metadata column of all messages. A key or a header that is not UTF-8 becomes Base64; a missing timestamp is
    null; headers are pairs, because names may repeat."""
    from confluent_kafka import Message

    messages = group.messages
    match name:
        case "topic":
            return pl.Series(name, [at.topic], dtype=pl.String).new_from_index(0, len(messages))
        case "partition":
            return pl.Series(name, [at.partition], dtype=pl.Int32).new_from_index(0, len(messages))
        case "offset":
            return pl.Series(name, group.offsets)
        case "timestamp":
            return _timestamps(map(Message.timestamp, messages), len(messages))
        case "key":
            return _texts(pl.Series(name, list(map(Message.key, messages)), dtype=pl.Binary))
    return _headers(messages)


def _timestamps(stamps: Iterable[tuple[int, int]], count: int) -> pl.Series:
    """`stamps` are kinds, 0 for none, and milliseconds."""
    kinds, millis = np.fromiter(chain.from_iterable(stamps), dtype=np.int64, count=2 * count).reshape(-1, 2).T
    known = pl.Series("timestamp", millis).set(pl.Series(kinds == 0), None)
    return known.cast(pl.Datetime("ms", "UTC")).dt.cast_time_unit("us")


def _texts(values: pl.Series) -> pl.Series:
    try:
        return values.cast(pl.String)
    except PolarsError:  # some are not UTF-8
        valid = values.bin.encode("hex").str.contains(_UTF8_IN_HEX)
        as_text = pl.when(valid).then(values).otherwise(pl.lit(b"")).cast(pl.String)
        return pl.select(
            pl.when(valid).then(as_text).otherwise(values.bin.encode("base64")).alias(values.name)
        ).to_series()


def _headers(messages: Sequence[Any]) -> pl.Series:
    """The pairs of each message as JSON. A loop: flattening them to columns and back took twice as long."""
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
