"""What a record has besides its data, as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from headrace.connectors.kinesis.records import Record
from headrace.ir.schema import DataType, Field

_TYPES: Mapping[str, DataType] = {
    "partitionKey": "text",
    "sequence": "text",
    "subsequence": "bigint",
    "arrival": "timestamptz",
    "shard": "text",
    "stream": "text",
}


def columns_of(metadata: Mapping[str, str]) -> Mapping[str, Field]:
    """The column of each by its name in the settings. A sequence number has more digits than a decimal."""
    return {name: Field(column, _TYPES[name]) for name, column in metadata.items()}


def metadata_of(name: str, records: Sequence[Record], shard: str, stream: str) -> pl.Series:
    """One of them of all records."""
    match name:
        case "partitionKey":
            return pl.Series(name, [each.key for each in records], dtype=pl.String)
        case "sequence":
            return pl.Series(name, [each.sequence for each in records], dtype=pl.String)
        case "subsequence":
            return pl.Series(name, [each.part for each in records], dtype=pl.Int64)
        case "arrival":
            millis = pl.Series(name, [each.arrival_ms for each in records], dtype=pl.Int64)
            return millis.cast(pl.Datetime("ms", "UTC")).dt.cast_time_unit("us")
    one = shard if name == "shard" else stream
    return pl.Series(name, [one], dtype=pl.String).new_from_index(0, len(records))
