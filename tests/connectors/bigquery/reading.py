"""Reading a source as a run does, to its end."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import polars as pl

from headrace.connectors.bigquery.source import BigQuerySource
from headrace.connectors.source import ROW, Batch, Discovery, Partition, Position, Wanted


def carried(partition: Partition) -> Partition:
    """As another process gets it."""
    return replace(partition, location=json.loads(json.dumps(partition.location)))


def batches(
    source: BigQuerySource,
    found: Discovery,
    partition: Partition,
    *,
    batch_rows: int | None = None,
    position: Position | None = None,
    rows_done: int = 0,
    columns: tuple[str, ...] | None = None,
) -> list[Batch]:
    names = frozenset(columns) if columns is not None else frozenset(field.name for field in found.schema)
    wanted = Wanted(names, batch_rows=batch_rows)
    position = json.loads(json.dumps(position))
    return list(source.read(carried(partition), found.schema, wanted=wanted, rows_done=rows_done, position=position))


def frame(read: list[Batch]) -> pl.DataFrame:
    return pl.concat([batch.frame for batch in read])


def rows(source: BigQuerySource, *, most: int = 1, **how: Any) -> list[tuple[Any, ...]]:
    """All rows, in the order of their partitions, without their numbers."""
    found = source.discover(max_partitions=most)
    read = [batch for partition in found.partitions for batch in batches(source, found, partition, **how)]
    return frame(read).drop(ROW).rows() if read else []


def rejects(source: BigQuerySource) -> list[tuple[Any, ...]]:
    found = source.discover(max_partitions=1)
    read = [batch for partition in found.partitions for batch in batches(source, found, partition)]
    return pl.concat([batch.rejects for batch in read]).rows()
