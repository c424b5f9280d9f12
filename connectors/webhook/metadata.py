"""What a webhook's record has besides its body, as columns."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from headrace.connectors.webhook.spool import SpooledRecords
from headrace.ir.schema import DataType, Field

_TYPES: Mapping[str, DataType] = {
    "received": "timestamptz",
    "sequence": "bigint",
    "requestId": "text",
    "key": "text",
    "headers": "json",
}
METADATA = tuple(_TYPES)
"""The metadata of a record that can become columns."""


def columns_of(metadata: Mapping[str, str]) -> Mapping[str, Field]:
    """The metadata fields by their names in the settings."""
    return {name: Field(column, _TYPES[name]) for name, column in metadata.items()}


def metadata_of(name: str, records: SpooledRecords) -> pl.Series:
    """One metadata column of all records."""
    match name:
        case "received":
            return pl.Series(name, records.times, dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
        case "sequence":
            return pl.Series(name, records.seqs, dtype=pl.Int64)
        case "requestId":
            return pl.Series(name, records.request_ids, dtype=pl.String)
        case "key":
            return pl.Series(name, records.keys, dtype=pl.String)
    return pl.Series(name, records.headers, dtype=pl.String)
