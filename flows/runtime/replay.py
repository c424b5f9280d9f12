"""Reading again only the rows that failed: a source that wraps another and leaves out all others.

A partition of a replay is one of the original run with the numbers of its failed rows: `location` is `{"inner": {...},
"open": [row, ...], "settled": {target: [table, [row, ...]]}}`, and `rows` counts the open ones. Row numbers stay those
of the source. `settled` is not there where all rows may go wherever the pipeline sends them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import polars as pl

from connectors.base import ROW, Batch, Discovery, Partition, Source, Wanted
from flows.still_open import Open, settled_in
from ir.schema import Schema


class Replay:
    """A Source over the open rows of another."""

    def __init__(self, inner: Source, *, left_out: int = 0) -> None:
        """`left_out`: so many failed rows are not among the open ones, for want of a target."""
        self._inner, self._left_out = inner, left_out

    @property
    def note(self) -> str | None:
        """The wrapped source's, and how many rows are not run again."""
        if not self._left_out:
            return self._inner.note
        rows = f"{self._left_out:,} failed row{'' if self._left_out == 1 else 's'}"
        lost = f"{rows} not run again: the targets they were on their way to are not in the pipeline any more"
        return lost if self._inner.note is None else f"{self._inner.note}; {lost}"

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


def only(discovery: Discovery, open_rows: Mapping[int, Open], targets: Mapping[str, str]) -> Discovery:
    """The discovery with every partition narrowed to its open rows, by partition index. `targets` are those that the
    rows may come to, with their tables: a row for which none of them is open is left out."""
    nothing = Open([], {})
    partitions = [_narrowed(each, open_rows.get(each.index, nothing), targets) for each in discovery.partitions]
    return replace(discovery, partitions=partitions, total_rows=sum(p.rows for p in partitions))


def is_replay(partition: Partition) -> bool:
    """Whether the partition is one of a replay."""
    return "open" in partition.location


def settled_rows(partition: Partition) -> dict[str, pl.Series]:
    """The rows of a replay's partition that a target must not be given, by target; none for any other partition."""
    found = settled_in(partition.location)
    return {target: pl.Series("settled", each.rows, dtype=pl.Int64) for target, each in found.items() if each.rows}


def _narrowed(partition: Partition, left: Open, targets: Mapping[str, str]) -> Partition:
    original = _original(partition) if is_replay(partition) else partition
    inner = {"first_row": original.first_row, "rows": original.rows, "location": dict(original.location)}
    if not left.settled:
        return Partition(original.index, original.first_row, len(left.rows), {"inner": inner, "open": left.rows})
    settled = left.settled_for(targets)
    nowhere = set(left.rows).intersection(*(settled[target].rows for target in targets))
    rows = [row for row in left.rows if row not in nowhere]
    location = {"inner": inner, "open": rows, "settled": {target: list(each) for target, each in settled.items()}}
    return Partition(original.index, original.first_row, len(rows), location)


def _original(partition: Partition) -> Partition:
    inner = partition.location["inner"]
    return Partition(partition.index, inner["first_row"], inner["rows"], inner["location"])
