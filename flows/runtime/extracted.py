"""Partitions that are read to their end into the staging folder before any of their rows is loaded.

A source that cannot give the same rows twice must not be read again once some of them are committed. What is staged can
be: the load of the partition then restarts exactly, also for several targets.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from time import monotonic
from typing import NamedTuple

import polars as pl

from headrace.connectors.batch_size import BATCH_BYTES
from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.source import (
    DEAD_SCHEMA,
    REJECT_SCHEMA,
    ROW,
    Batch,
    Partition,
    Position,
    Restart,
    Source,
    no_rejects,
)
from headrace.flows.compile import Stage
from headrace.flows.compile.push_down.projection import filled_up
from headrace.flows.enrich import Interrupted
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.input.partition_input import NO_LIMITS, ReadLimits
from headrace.flows.runtime.job import Prepared
from headrace.flows.runtime.staging.files import StagingFiles

BATCH_ROWS = 65_536
_ROWS, _REJECTS, _DEAD, _END = "rows.parquet", "rejects", "dead", "end.parquet"


def is_extracted(prepared: Prepared, stage: Stage) -> bool:
    """Whether the partitions of a stage are staged first. A source that restarts at boundaries need not be, where its
    batches are committed to one sink: to several they are committed one after the other, and a crash in between would
    leave them with different rows."""
    if stage.source is None or prepared.job.continues.replays:
        return False
    restart = prepared.discoveries[stage.source.id].restart
    return restart is Restart.NONE or (restart is Restart.BOUNDARY and len(stage.sinks) > 1)


class _Staged(NamedTuple):
    """How many rows there are, the position at their end, and whether the limits ended the partition there."""

    rows: int
    position: Position | None
    cut: bool
    ends: Sequence[int]
    """After how many rows a batch ends at the latest, so that none is much larger than those of the source."""


@dataclass(slots=True)
class ExtractedInput:
    """The batches of a partition that is staged first: as a whole, or as far as the limits allow where reading can
    begin again after any batch."""

    source: Source
    stage: Stage
    partition: Partition
    files: StagingFiles
    prepared: Prepared
    batch_rows: int | None = None
    limits: ReadLimits = NO_LIMITS
    rows: int | None = field(default=None, init=False)

    def read(self, rows_done: int, position: Position | None) -> Iterator[Batch]:
        """The batches after the first `rows_done` rows. Raises RunFailed if rows of the partition are loaded and the
        staged rows no longer exist."""
        found = self._staged()
        if found is None:
            if rows_done:
                raise RunFailed(
                    f"Partition {self.partition.index + 1} of {self.stage.name}: {rows_done:,} of its rows are loaded, "
                    "and the rest is gone from the staging folder (another machine, a tidied disk). The source "
                    "cannot give the same rows again. Start a new run."
                )
            self._extract()
            found = self._staged()
            assert found is not None, "it has just been written"
        self.rows = found.rows
        if found.cut:
            self.limits.ended_early()
        yield from self._batches(found, rows_done)

    def _staged(self) -> _Staged | None:
        """What there is, from the file that is written last: with it all of it is there."""
        if not any(name == _END for _, name, _ in self.files.list(self._place)):
            return None
        with self.files.reading(self._place, [_END], pl.Schema()) as end:
            found = end.collect().row(0, named=True)
        ends = found.get("ends") or ()
        return _Staged(int(found["rows"]), json.loads(found["position"]), bool(found.get("cut")), ends)

    def _extract(self) -> None:
        for _, name, _ in [*self.files.list(self._place)]:  # of an attempt that died while it read
            self.files.delete(self._place, name)
        rejects: list[pl.DataFrame] = []
        dead: list[pl.DataFrame] = []
        counted = written = 0
        ends: list[int] = []
        held_rows, held_bytes = 0, 0.0
        position: Position | None = None
        cut, began = False, monotonic()
        assert self.stage.source is not None
        bounded = self.prepared.discoveries[self.stage.source.id].restart is Restart.BOUNDARY

        def frames() -> Iterable[pl.DataFrame]:
            nonlocal counted, cut, held_rows, held_bytes, position, written
            yield self._nothing()
            wanted = replace(self.stage.wanted, batch_rows=self.batch_rows) if bounded else self.stage.wanted
            for batch in self.source.read(self.partition, self.stage.schema, wanted=wanted):
                if self.prepared.providers.stopped.is_set():
                    raise Interrupted
                assert not batch.unread, "only a source that restarts exactly counts rows that it leaves unread"
                size = batch.frame.estimated_size()
                if held_rows and (held_rows + batch.rows > BATCH_ROWS or held_bytes + size > BATCH_BYTES):
                    ends.append(counted)
                    held_rows, held_bytes = 0, 0.0
                held_rows, held_bytes = held_rows + batch.rows, held_bytes + size
                counted, position = counted + batch.rows, batch.position
                if batch.rejects.height:
                    rejects.append(batch.rejects)
                if batch.dead is not None:
                    dead.append(batch.dead)
                if sum(map(_weight, [*rejects, *dead])) >= 1:
                    self._write_rejects(written, rejects, dead)
                    written += 1
                    rejects.clear()
                    dead.clear()
                yield batch.frame.select(self._nothing().columns)
                if bounded and self.limits.reached(self.partition, counted, monotonic() - began):
                    cut = True
                    return

        self.files.append(self._place, _ROWS, frames())
        self._write_rejects(written, rejects, dead)
        end = {"rows": [counted], "position": [json.dumps(position)], "cut": [cut], "ends": [ends]}
        self.files.write(self._place, _END, pl.DataFrame(end, schema_overrides={"ends": pl.List(pl.Int64)}))

    def _write_rejects(self, number: int, rejects: Sequence[pl.DataFrame], dead: Sequence[pl.DataFrame]) -> None:
        cells = pl.concat(rejects) if rejects else no_rejects()
        self.files.write(self._place, f"{_REJECTS}-{number:06}.parquet", cells)
        if dead:
            self.files.write(self._place, f"{_DEAD}-{number:06}.parquet", pl.concat(dead))

    def _batches(self, found: _Staged, rows_done: int) -> Iterator[Batch]:
        rows, position = found.rows, found.position
        size = min(self.batch_rows or BATCH_ROWS, BATCH_ROWS)
        parts = pairwise([0, *found.ends, rows])
        starts = [
            (start, min(start + size, high)) for low, high in parts for start in range(max(low, rows_done), high, size)
        ]
        first = self.partition.first_row
        names = [name for _, name, _ in self.files.list(self._place) if name.startswith(_REJECTS)]
        with (
            self.files.reading(self._place, names, pl.Schema(REJECT_SCHEMA)) as refused,
            self.files.reading(self._place, [_ROWS], self._nothing().schema) as staged,
        ):
            any_refused = not refused.head(1).collect().is_empty()
            for start, end in starts:
                inside = (first + start, first + end - 1)
                frame = staged.filter(pl.col(ROW).is_between(*inside)).collect()
                cells = refused.filter(pl.col("row").is_between(*inside)).collect() if any_refused else no_rejects()
                at = position if end == rows else None
                dead = self._dead(inside) if cells.height else None
                yield Batch(filled_up(frame, self.stage.unread), end - start, end, cells, position=at, dead=dead)
            if not rows:
                yield Batch(filled_up(self._nothing(), self.stage.unread), 0, 0, position=position, last=True)

    def _dead(self, rows: tuple[int, int]) -> pl.DataFrame | None:
        """The messages of rejected rows from the first to the last of `rows`; None of a source without messages."""
        names = [name for _, name, _ in self.files.list(self._place) if name.startswith(_DEAD)]
        if not names:
            return None
        with self.files.reading(self._place, names, pl.Schema(DEAD_SCHEMA)) as staged:
            return staged.filter(pl.col("row").is_between(*rows)).collect()

    def _nothing(self) -> pl.DataFrame:
        """No rows, with the columns that are staged."""
        read = [each for each in self.stage.schema if each.name not in self.stage.unread]
        return pl.DataFrame(schema={**{each.name: polars_dtype(each) for each in read}, ROW: pl.Int64})

    @property
    def _place(self) -> str:
        return f"{self.stage.root_node}.extracted/{self.partition.index:05}"


def _weight(frame: pl.DataFrame) -> float:
    """The share of what is written at once."""
    return max(frame.height / BATCH_ROWS, float(frame.estimated_size()) / BATCH_BYTES)
