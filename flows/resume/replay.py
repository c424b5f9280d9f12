"""Reads only the failed rows again: a source that wraps another and skips all other rows.

A partition of a replay is one of the original run with the numbers of its failed rows: `location` is `{"inner": {...},
"open": [row, ...], "settled": {target: [table, [row, ...]]}}`, and `rows` counts the open ones. Row numbers stay those
of the source. Without `settled`, all rows may go wherever the pipeline sends them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

import polars as pl

from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.source import ROW, Batch, Discovery, Fitting, Partition, Position, Source, Wanted
from headrace.flows.resume.failed_rows import OpenPartition, settled_in
from headrace.ir.schema import Schema

_NOT_KEPT = (
    "The row was not kept: it could not be read, or its table refused it when it was published. A new run reads it."
)


class Replay:
    """A Source over the open rows of another."""

    def __init__(self, inner: Source, *, left_out: int = 0, kept: bool = False) -> None:
        """`left_out`: the number of failed rows that are not open, because they have no target. `kept`: the inner
        source has stored rows only; a missing row fails again with that reason."""
        self._inner, self._left_out, self._kept = inner, left_out, kept

    @property
    def note(self) -> str | None:
        """The wrapped source's, and how many rows are not run again."""
        if not self._left_out:
            return self._inner.note
        rows = f"{self._left_out:,} failed row{'' if self._left_out == 1 else 's'}"
        lost = f"{rows} not run again: their targets are no longer in the pipeline"
        return lost if self._inner.note is None else f"{self._inner.note}; {lost}"

    def discover(self, *, max_partitions: int) -> Discovery:
        """The wrapped source's; which of its rows are open is decided by `only_open_rows`."""
        return self._inner.discover(max_partitions=max_partitions)

    def types_of(self, columns: Collection[str]) -> Mapping[str, Fitting]:
        """The wrapped source's: all values count, not only those of the open rows."""
        return self._inner.types_of(columns)

    def fingerprint(self) -> str | None:
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
        position: Position | None = None,
    ) -> Iterator[Batch]:
        """The open rows after the first `rows_done` of them; batches of the wrapped source without open rows are
        skipped."""
        unbound = wanted and replace(wanted, bounds=())
        open_rows = pl.Series("open", partition.location["open"][rows_done:], dtype=pl.Int64)
        if open_rows.is_empty():
            return
        done = rows_done
        for batch in self._inner.read(_original(partition), schema, wanted=unbound):
            frame = batch.frame.filter(pl.col(ROW).is_in(open_rows.implode()))
            rejects = batch.rejects.filter(pl.col("row").is_in(open_rows.implode()))
            if self._kept:
                upto = batch.frame.get_column(ROW)[-1]
                rejects = _not_kept(open_rows.filter(open_rows <= upto), frame)
                open_rows = open_rows.filter(open_rows > upto)
            rows = frame.height + rejects.get_column("row").n_unique()
            if rows:
                done += rows
                yield Batch(frame, rows, done, rejects, cells=batch.cells)
        if self._kept and open_rows.len():
            nothing = pl.DataFrame(schema={ROW: pl.Int64, **{field.name: polars_dtype(field) for field in schema}})
            yield Batch(nothing, open_rows.len(), done + open_rows.len(), _not_kept(open_rows, nothing))


def _not_kept(asked: pl.Series, frame: pl.DataFrame) -> pl.DataFrame:
    """Rejects for requested rows that are missing."""
    missing = asked.filter(~asked.is_in(frame.get_column(ROW).implode()))
    cells = {"column": None, "value": None, "error": _NOT_KEPT, "rule": "not_kept"}
    columns = [pl.lit(value, dtype=pl.String).alias(name) for name, value in cells.items()]
    return pl.DataFrame({"row": missing}, schema={"row": pl.Int64}).with_columns(columns)


def only_open_rows(
    discovery: Discovery, open_rows: Mapping[int, OpenPartition], targets: Mapping[str, str]
) -> Discovery:
    """The discovery with every partition narrowed to its open rows, by partition index. `targets` are the possible
    targets with their tables: a row for which none of them is open is skipped."""
    nothing = OpenPartition([], {})
    partitions = [_narrowed(each, open_rows.get(each.index, nothing), targets) for each in discovery.partitions]
    return replace(discovery, partitions=partitions, total_rows=sum(p.rows for p in partitions))


def is_replay(partition: Partition) -> bool:
    """Whether the partition is one of a replay."""
    return "open" in partition.location


def settled_rows(partition: Partition) -> dict[str, pl.Series]:
    """The rows of a replay's partition that a target must not be given, by target; none for any other partition."""
    found = settled_in(partition.location)
    return {target: pl.Series("settled", each.rows, dtype=pl.Int64) for target, each in found.items() if each.rows}


def _narrowed(partition: Partition, left: OpenPartition, targets: Mapping[str, str]) -> Partition:
    original = _original(partition) if is_replay(partition) else partition
    inner = {
        "first_row": original.first_row,
        "rows": original.rows,
        "location": dict(original.location),
        **({"label": original.label} if original.label else {}),
    }
    if not left.settled:
        return Partition(original.index, original.first_row, len(left.rows), {"inner": inner, "open": left.rows})
    settled = left.settled_for(targets)
    nowhere = set(left.rows).intersection(*(settled[target].rows for target in targets))
    rows = [row for row in left.rows if row not in nowhere]
    location = {"inner": inner, "open": rows, "settled": {target: list(each) for target, each in settled.items()}}
    return Partition(original.index, original.first_row, len(rows), location)


def _original(partition: Partition) -> Partition:
    inner = partition.location["inner"]
    rows, label = int(inner["rows"]), str(inner.get("label", ""))
    return Partition(partition.index, int(inner["first_row"]), rows, inner["location"], label=label)
