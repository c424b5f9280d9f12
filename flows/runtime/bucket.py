"""The partitions of a gathering stage: each evaluates its bucket once, into a file, and reads that in batches.

The rows of a bucket and their order depend on nothing but what was sent, so an attempt that has to evaluate it again
goes on exactly behind what an earlier one committed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

import polars as pl
import psycopg
from polars.exceptions import PolarsError

from connectors.base import Batch
from connectors.postgresql.sent import read_sent
from flows.compile.gather import BUCKET_BYTES, Side, row_bytes
from flows.compile.projection import filled_up
from flows.compile.scope import first_line
from flows.compile.stage import Gathering
from flows.runtime.limits import RunFailed
from flows.runtime.ranges import ranges
from flows.runtime.sending import bucket_of, folder, holds, place
from flows.runtime.staging_files import StagingFiles

BATCH_ROWS = 65_536

_one_at_a_time = threading.Lock()
"""polars uses every core for one bucket; several at once would only take more memory."""


@dataclass(slots=True)
class Gathered:
    """The buckets of one gathering in one attempt. `load_key` is the ledger's id of the rows that were sent."""

    gathering: Gathering
    buckets: int
    load_key: str
    database_url: str
    files: StagingFiles
    _names: list[list[list[str]]] | None = field(default=None, init=False)
    """By side and bucket."""

    def result(self, bucket: int) -> tuple[str, int]:
        """The file with the bucket's rows, evaluated if it is not there yet, and how many rows went in. Raises
        RunFailed."""
        with _one_at_a_time:
            where = self._place(bucket)
            for _, name, _ in self.files.list(where):
                return name, int(name.removesuffix(".parquet").partition("-")[2])
            with ExitStack() as reading:
                frames, rows_in = self._frames(bucket, reading)
                name = f"rows-{rows_in}.parquet"
                try:
                    self._evaluate(frames, rows_in, bucket, where, name)
                except PolarsError as error:
                    text = f"{self.gathering.node}: {self.gathering.label} cannot be computed: {first_line(error)}"
                    raise RunFailed(text) from error
            return name, rows_in

    def _evaluate(self, frames: Sequence[pl.LazyFrame], rows_in: int, bucket: int, where: str, name: str) -> None:
        gather = self.gathering.gather
        many = -(-rows_in * row_bytes(gather.sides[0].schema) // BUCKET_BYTES)
        if gather.order is None or many <= 1:
            self.files.sink(where, name, gather.apply(frames, bucket, self.buckets))
            return
        pieces = ranges(frames[0], gather.order, rows_in, many)
        self.files.append(where, name, (gather.apply([piece]).collect() for piece in pieces))

    def count(self, bucket: int) -> int:
        """How many rows come out of a bucket. Raises RunFailed."""
        return self.files.height(self._place(bucket), self.result(bucket)[0])

    def rows(self, bucket: int, name: str) -> AbstractContextManager[pl.LazyFrame]:
        """What is in such a file, while this is entered."""
        return self.files.reading(self._place(bucket), [name], pl.Schema())

    def _place(self, bucket: int) -> str:
        layout = "-".join(side.layout for side in self.gathering.gather.sides)
        return f"{self.gathering.id}-{layout}/{bucket:04}"

    def _frames(self, bucket: int, reading: ExitStack) -> tuple[Sequence[pl.LazyFrame], int]:
        if self._names is None:
            sides = self.gathering.gather.sides
            self._names = [self._committed(f"{self.gathering.id}.{number}", side) for number, side in enumerate(sides)]
        frames, rows_in = [], 0
        for number, (side, names) in enumerate(zip(self.gathering.gather.sides, self._names, strict=True)):
            where = place(f"{self.gathering.id}.{number}", side, bucket)
            frame = reading.enter_context(self.files.reading(where, names[bucket], side.schema))
            rows_in += _height(frame)
            frames.append(frame)
        return frames, rows_in

    def _committed(self, sink: str, side: Side) -> list[list[str]]:
        """The files that count, by bucket; all that was sent must be there."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            sent = read_sent(connection, self.load_key, sink)
        found: list[list[str]] = [[] for _ in range(self.buckets)]
        count = size = 0
        for file in self.files.list(folder(sink, side)):
            if holds(sent, file.name):
                count, size = count + 1, size + file.size
                found[bucket_of(file.place)].append(file.name)
        if (count, size) != (sum(each.files for each in sent), sum(each.bytes for each in sent)):
            raise RunFailed(
                f"Files with rows for {self.gathering.node} are gone from the staging folder: retry the run"
            )
        return found


def _height(frame: pl.LazyFrame) -> int:
    return int(frame.select(pl.len()).collect().item())


@dataclass(slots=True)
class BucketFeed:
    """See Feed. `batch_rows` bounds a batch, where the user asked for it; `unread` are columns that nobody needs."""

    gathered: Gathered
    bucket: int
    batch_rows: int | None = None
    unread: pl.Schema = field(default_factory=pl.Schema)
    rows: int = 0

    def read(self, rows_done: int, position: int | None) -> Iterator[Batch]:
        """See Feed."""
        name, rows_in = self.gathered.result(self.bucket)
        with self.gathered.rows(self.bucket, name) as scanned:
            self.rows = _height(scanned)
            gone = rows_in - self.rows if self.gathered.gathering.gather.keeps_rows else 0
            size = min(self.batch_rows or BATCH_ROWS, BATCH_ROWS)
            for start in range(rows_done, self.rows, size):
                frame = filled_up(scanned.slice(start, size).collect(), self.unread)
                yield Batch(frame, frame.height, start + frame.height, gone=0 if start else gone)
