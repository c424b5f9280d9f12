"""Which rows of a batch have a record that the API does not have yet, by their key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl
import psycopg

from headrace.connectors.http.target.records import Records
from headrace.connectors.postgresql.ledger.sent_attributes import SentAttributes
from headrace.connectors.source import REJECT_SCHEMA, ROW


@dataclass(frozen=True, slots=True)
class Changes:
    """`key` are the columns that identify a record. Frames of records get a column `key`, JSON text; that what is sent
    has changed is seen from `content`."""

    key: tuple[str, ...]
    sent: SentAttributes

    def keyed(self, made: Records, frame: pl.DataFrame) -> Records:
        """The records with their keys; rows without one are rejected."""
        keys = frame.select(
            ROW,
            pl.struct(self.key).struct.json_encode().alias("key"),
            pl.any_horizontal(pl.col(name).is_null() for name in self.key).alias("lacks"),
        )
        records = made.frame.join(keys, on=ROW, how="left", maintain_order="left")
        lacking = records.filter("lacks").select(
            pl.col(ROW).alias("row"),
            pl.lit(self.key[0]).alias("column"),
            pl.lit(None, pl.String).alias("value"),
            pl.lit("A row without a value in the upsertKey cannot be sent").alias("error"),
            pl.lit("not_null").alias("rule"),
        )
        rejects = pl.concat([made.rejects, lacking.cast(pl.Schema(REJECT_SCHEMA))]).sort("row", maintain_order=True)
        return Records(records.filter(~pl.col("lacks")).drop("lacks"), rejects)

    def changed(self, connection: psycopg.Connection[Any], records: pl.DataFrame) -> pl.DataFrame:
        """The last row of each key, unless the API has its record."""
        last = records.unique("key", keep="last", maintain_order=True)
        known = self.sent.unchanged(connection, last.get_column("key"), last.get_column("content"))
        return last.filter(~pl.col("key").is_in(known.implode()))

    def forget(self, connection: psycopg.Connection[Any], records: pl.DataFrame) -> None:
        """Called when the records are about to be sent: what the API has is not known until `store`."""
        self.sent.forget(connection, records.get_column("key").to_list())

    def store(self, connection: psycopg.Connection[Any], records: pl.DataFrame) -> None:
        """Called when the API has the records."""
        last = records.unique("key", keep="last", maintain_order=True)
        self.sent.store(connection, last.get_column("key"), last.get_column("content"))
