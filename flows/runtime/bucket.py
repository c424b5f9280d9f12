"""The partitions of a gathering stage: each evaluates its bucket once, into a file, and reads that in batches.

The rows of a bucket and their order depend on nothing but what was sent, so an attempt that has to evaluate it again
goes on exactly behind what an earlier one committed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl
import psycopg
from polars.exceptions import PolarsError

from connectors.base import Batch
from connectors.postgresql.sent import read_sent
from flows.compile.gather import BUCKET_BYTES, row_bytes
from flows.compile.scope import first_line
from flows.compile.stage import Gathering
from flows.runtime.limits import RunFailed
from flows.runtime.ranges import ranges
from flows.runtime.sending import holds, place
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
            for name, _ in self.files.list(where):
                return name, int(name.removesuffix(".parquet").partition("-")[2])
            frames, rows_in = self._frames(bucket)
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
        return _height(self.rows(bucket, self.result(bucket)[0]))

    def rows(self, bucket: int, name: str) -> pl.LazyFrame:
        """What is in such a file."""
        return self.files.scan(self._place(bucket), [name], pl.Schema())

    def _place(self, bucket: int) -> str:
        return f"{self.gathering.id}/{bucket:04}"

    def _frames(self, bucket: int) -> tuple[Sequence[pl.LazyFrame], int]:
        if self._names is None:
            self._names = [self._committed(f"{self.gathering.id}.{side}") for side in range(self._sides)]
        frames, rows_in = [], 0
        for side, names in enumerate(self._names):
            where = place(f"{self.gathering.id}.{side}", bucket)
            frame = self.files.scan(where, names[bucket], self.gathering.gather.sides[side].schema)
            rows_in += _height(frame)
            frames.append(frame)
        return frames, rows_in

    @property
    def _sides(self) -> int:
        return len(self.gathering.gather.sides)

    def _committed(self, sink: str) -> list[list[str]]:
        """The files that count, by bucket; all that was sent must be there."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            sent = read_sent(connection, self.load_key, sink)
        found: list[list[str]] = []
        count = size = 0
        for bucket in range(self.buckets):
            there = [(name, length) for name, length in self.files.list(place(sink, bucket)) if holds(sent, name)]
            count, size = count + len(there), size + sum(length for _, length in there)
            found.append([name for name, _ in there])
        if (count, size) != (sum(each.files for each in sent), sum(each.bytes for each in sent)):
            raise RunFailed(
                f"Files with rows for {self.gathering.node} are gone from the staging folder: retry the run"
            )
        return found


def _height(frame: pl.LazyFrame) -> int:
    return int(frame.select(pl.len()).collect().item())


@dataclass(slots=True)
class BucketFeed:
    """See Feed. `batch_rows` bounds a batch, where the user asked for it."""

    gathered: Gathered
    bucket: int
    batch_rows: int | None = None
    rows: int = 0

    def read(self, rows_done: int, position: int | None) -> Iterator[Batch]:
        """See Feed."""
        name, rows_in = self.gathered.result(self.bucket)
        scanned = self.gathered.rows(self.bucket, name)
        self.rows = _height(scanned)
        gone = rows_in - self.rows if self.gathered.gathering.gather.keeps_rows else 0
        size = min(self.batch_rows or BATCH_ROWS, BATCH_ROWS)
        for start in range(rows_done, self.rows, size):
            frame = scanned.slice(start, size).collect()
            yield Batch(frame, frame.height, start + frame.height, gone=0 if start else gone)
