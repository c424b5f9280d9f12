"""Reading again only the rows that failed: a source that wraps another and leaves out all others.

A partition of a replay is one of the original run with the numbers of its failed rows: `location` is `{"inner": {...},
"open": [row, ...]}`, and `rows` counts the open ones. Row numbers stay those of the source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import polars as pl

from connectors.base import ROW, Batch, Discovery, Partition, Source, Wanted
from ir.schema import Schema


class Replay:
    """A Source over the open rows of another."""

    def __init__(self, inner: Source) -> None:
        self._inner = inner

    @property
    def note(self) -> str | None:
        """The wrapped source's."""
        return self._inner.note

    def discover(self, *, max_partitions: int) -> Discovery:
        """The wrapped source's; which of its rows are open is decided by `only`."""
        return self._inner.discover(max_partitions=max_partitions)

    def fingerprint(self) -> str:
        """The wrapped source's."""
        return self._inner.fingerprint()

    def sample(self, rows: int) -> pl.DataFrame:
        """The wrapped source's."""
        return self._inner.sample(rows)

    def read(
        self,
        partition: Partition,
        schema: Schema,
        *,
        wanted: Wanted | None = None,
        rows_done: int = 0,
        position: int | None = None,
    ) -> Iterator[Batch]:
        """The open rows behind the first `rows_done` of them, whatever their values; a batch of the wrapped source
        without any is left out."""
        unbound = wanted and replace(wanted, bounds=())
        still_open = pl.Series("open", partition.location["open"][rows_done:], dtype=pl.Int64)
        if still_open.is_empty():
            return
        done = rows_done
        for batch in self._inner.read(_original(partition), schema, wanted=unbound):
            frame = batch.frame.filter(pl.col(ROW).is_in(still_open.implode()))
            rejects = batch.rejects.filter(pl.col("row").is_in(still_open.implode()))
            rows = frame.height + rejects.get_column("row").n_unique()
            if rows:
                done += rows
                yield Batch(frame, rows, done, rejects)


def only(discovery: Discovery, open_rows: Mapping[int, Sequence[int]]) -> Discovery:
    """The discovery with every partition narrowed to its open rows (ascending), by partition index."""
    partitions = [_narrowed(partition, open_rows.get(partition.index, ())) for partition in discovery.partitions]
    return replace(discovery, partitions=partitions, total_rows=sum(p.rows for p in partitions))


def is_replay(partition: Partition) -> bool:
    """Whether the partition is one of a replay."""
    return "open" in partition.location


def _narrowed(partition: Partition, rows: Sequence[int]) -> Partition:
    original = _original(partition) if is_replay(partition) else partition
    inner = {"first_row": original.first_row, "rows": original.rows, "location": dict(original.location)}
    return Partition(original.index, original.first_row, len(rows), {"inner": inner, "open": list(rows)})


def _original(partition: Partition) -> Partition:
    inner = partition.location["inner"]
    return Partition(partition.index, inner["first_row"], inner["rows"], inner["location"])
