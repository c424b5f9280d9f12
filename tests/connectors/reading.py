"""Reading a source as a run does, to its end."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import polars as pl

from headrace.connectors.source import ROW, Batch, Discovery, Incremental, Partition, Position, Restart, Source, Wanted


def carried(partition: Partition) -> Partition:
    """As another process gets it."""
    return replace(partition, location=json.loads(json.dumps(partition.location)))


def batches(
    source: Source,
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


def rows(source: Source, *, most: int = 1, **how: Any) -> list[tuple[Any, ...]]:
    """All rows, in the order of their partitions, without their numbers."""
    found = source.discover(max_partitions=most)
    read = [batch for partition in found.partitions for batch in batches(source, found, partition, **how)]
    return frame(read).drop(ROW).rows() if read else []


def rejects(source: Source) -> list[tuple[Any, ...]]:
    found = source.discover(max_partitions=1)
    read = [batch for partition in found.partitions for batch in batches(source, found, partition)]
    return pl.concat([batch.rejects for batch in read]).rows()


def run(
    source: Source,
    position: Position | None,
    *,
    batch_rows: int | None = None,
    restart: Restart = Restart.BOUNDARY,
    key: str = "id",
) -> tuple[list[int], Position]:
    """The keys that an incremental run reads, and where the next one goes on."""
    assert isinstance(source, Incremental)
    source.begin_at({} if position is None else {"default": position})
    found = source.discover(max_partitions=8)
    assert found.restart is restart
    assert len(found.partitions) <= 1
    read: list[int] = []
    for partition in found.partitions:
        assert partition.cursor == "default"
        for batch in batches(source, found, partition, batch_rows=batch_rows):
            read += [int(each) for each in batch.frame[key].to_list()]
            position = batch.position
            assert position is not None
    return read, position
