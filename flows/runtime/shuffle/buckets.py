"""The partitions of a shuffle stage: each evaluates its bucket once, into a file, and reads the file in batches.

The rows of a bucket and their order depend only on the rows that were sent, so an attempt that evaluates the bucket
again continues exactly after what an earlier attempt committed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

import polars as pl
from polars.exceptions import PolarsError

from headrace.connectors.postgresql.connections import Database, connect
from headrace.connectors.postgresql.ledger.exchange_manifest import read_sent
from headrace.connectors.source import ROW, Batch, Position
from headrace.flows.compile.push_down.projection import filled_up
from headrace.flows.compile.scope import first_line
from headrace.flows.compile.shuffle import BUCKET_BYTES, ShuffleSide, row_bytes
from headrace.flows.compile.stages.stage import ShuffleRead
from headrace.flows.enrich import Interrupted
from headrace.flows.fork_lock import ForkLock
from headrace.flows.query import QUERY_LIMITS, QueryLimits, QueryStopped
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.memory.current_node import working_on
from headrace.flows.runtime.shuffle.writer import bucket_of, folder, is_committed, place
from headrace.flows.runtime.staging.files import StagingFiles

_SAMPLE_ROWS = 100_000


def split_by_range(rows: pl.LazyFrame, order: tuple[str, bool], count: int, many: int) -> Iterator[pl.LazyFrame]:
    """About `many` parts of the `count` rows, in the order of `order` = (column, descending), nulls in the last part.
    Rows with equal values are in the same part, so a very frequent value is not divided."""
    name, descending = order
    value = pl.col(name)
    sample = rows.select(value).gather_every(max(1, count // _SAMPLE_ROWS)).collect().to_series().drop_nulls().sort()
    places = [sample.len() * part // many for part in range(1, many)]
    bounds = sample.gather(places).unique(maintain_order=True) if sample.len() else sample
    lowest = [None, *bounds]
    parts = [rows.filter(_in_range(value, low, high)) for low, high in zip(lowest, [*lowest[1:], None], strict=True)]
    yield from reversed(parts) if descending else parts
    yield rows.filter(value.is_null())


def _in_range(value: pl.Expr, low: object, high: object) -> pl.Expr:
    inside = value.is_not_null()
    if low is not None:
        inside &= value >= pl.lit(low)
    return inside if high is None else inside & (value < pl.lit(high))


BATCH_ROWS = 65_536

_one_at_a_time = ForkLock()
"""polars uses every core for one bucket; evaluating several at once would only take more memory."""


@dataclass(slots=True)
class ExchangedBuckets:
    """The buckets of one shuffle in one attempt. `load_key` is the ledger id of the sent rows."""

    exchange: ShuffleRead
    buckets: int
    load_key: str
    database: Database
    files: StagingFiles
    means: QueryLimits = field(default_factory=QueryLimits)
    """The limits for its queries (op `sql`)."""
    _names: list[list[list[str]]] | None = field(default=None, init=False)
    """Committed file names by side and bucket."""

    def result(self, bucket: int) -> tuple[str, int]:
        """The file with the bucket's rows, evaluated if it does not exist yet, and the number of input rows. Raises
        RunFailed and Interrupted."""
        with _one_at_a_time:
            where = self._place(bucket)
            for _, name, _ in self.files.list(where):
                return name, int(name.removesuffix(".parquet").partition("-")[2])
            with ExitStack() as reading:
                frames, rows_in = self._frames(bucket, reading)
                name = f"rows-{rows_in}.parquet"
                mine = QUERY_LIMITS.set(self.means)
                try:
                    with working_on(self.exchange.node):
                        self._evaluate(frames, rows_in, bucket, where, name)
                except QueryStopped:
                    raise Interrupted from None
                except PolarsError as error:
                    text = f"{self.exchange.node}: {self.exchange.label} cannot be computed: {first_line(error)}"
                    raise RunFailed(text) from error
                finally:
                    QUERY_LIMITS.reset(mine)
            return name, rows_in

    def _evaluate(self, frames: Sequence[pl.LazyFrame], rows_in: int, bucket: int, where: str, name: str) -> None:
        shuffle = self.exchange.shuffle
        many = -(-rows_in * row_bytes(shuffle.sides[0].schema) // BUCKET_BYTES)
        if shuffle.order is None or many <= 1:
            self.files.sink(where, name, shuffle.apply(frames, bucket, self.buckets))
            return
        pieces = split_by_range(frames[0], shuffle.order, rows_in, many)
        self.files.append(where, name, (shuffle.apply([piece]).collect() for piece in pieces))

    def count(self, bucket: int) -> int:
        """The number of rows of a bucket. Raises RunFailed."""
        return self.files.height(self._place(bucket), self.result(bucket)[0])

    def rows(self, bucket: int, name: str) -> AbstractContextManager[pl.LazyFrame]:
        """A context manager for reading a file returned by `result`."""
        return self.files.reading(self._place(bucket), [name], pl.Schema())

    def parents(self, rows: pl.Series) -> pl.DataFrame:
        """The row numbers of the parents of output rows: a frame with ROW and `parent(side)`. Evaluated once per
        bucket, on first use; only used when rows are rejected."""
        found = []
        for bucket in ((rows - 1) % self.buckets).unique().sort().drop_nulls().to_list():
            with self._traced(bucket) as traced:
                found.append(traced.filter(pl.col(ROW).is_in(rows.implode())).collect())
        return pl.concat(found)

    def _traced(self, bucket: int) -> AbstractContextManager[pl.LazyFrame]:
        folder, _, number = self._place(bucket).rpartition("/")
        where, name = f"{folder}.parents/{number}", "rows.parquet"
        with _one_at_a_time:
            if not list(self.files.list(where)):
                with ExitStack() as reading:
                    frames, _ = self._frames(bucket, reading)
                    self.files.sink(where, name, self.exchange.shuffle.traced(frames, bucket, self.buckets))
        return self.files.reading(where, [name], pl.Schema())

    def _place(self, bucket: int) -> str:
        layout = "-".join(side.layout for side in self.exchange.shuffle.sides)
        return f"{self.exchange.id}-{layout}/{bucket:04}"

    def _frames(self, bucket: int, reading: ExitStack) -> tuple[Sequence[pl.LazyFrame], int]:
        if self._names is None:
            sides = self.exchange.shuffle.sides
            self._names = [self._committed(f"{self.exchange.id}.{number}", side) for number, side in enumerate(sides)]
        frames, rows_in = [], 0
        for number, (side, names) in enumerate(zip(self.exchange.shuffle.sides, self._names, strict=True)):
            where = place(f"{self.exchange.id}.{number}", side, bucket)
            frame = reading.enter_context(self.files.reading(where, names[bucket], side.schema))
            rows_in += _height(frame)
            frames.append(frame)
        return frames, rows_in

    def _committed(self, sink: str, side: ShuffleSide) -> list[list[str]]:
        """The committed file names by bucket. Raises RunFailed when committed files are missing."""
        with connect(self.database, autocommit=True) as connection:
            sent = read_sent(connection, self.load_key, sink)
        found: list[list[str]] = [[] for _ in range(self.buckets)]
        count = size = 0
        for file in self.files.list(folder(sink, side)):
            if is_committed(sent, file.name):
                count, size = count + 1, size + file.size
                found[bucket_of(file.place)].append(file.name)
        if (count, size) != (sum(each.files for each in sent), sum(each.bytes for each in sent)):
            raise RunFailed(f"Files with rows for {self.exchange.node} are gone from the staging folder: retry the run")
        return found


def _height(frame: pl.LazyFrame) -> int:
    return int(frame.select(pl.len()).collect().item())


@dataclass(slots=True)
class BucketInput:
    """A Feed that reads a bucket. `batch_rows` limits a batch, None for the default; `unread` are columns that no step
    uses."""

    gathered: ExchangedBuckets
    bucket: int
    batch_rows: int | None = None
    unread: pl.Schema = field(default_factory=pl.Schema)
    rows: int = 0

    def read(self, rows_done: int, position: Position | None) -> Iterator[Batch]:
        name, rows_in = self.gathered.result(self.bucket)
        with self.gathered.rows(self.bucket, name) as scanned:
            self.rows = _height(scanned)
            gone = rows_in - self.rows if self.gathered.exchange.shuffle.keeps_rows else 0
            size = min(self.batch_rows or BATCH_ROWS, BATCH_ROWS)
            for start in range(rows_done, self.rows, size):
                frame = filled_up(scanned.slice(start, size).collect(), self.unread)
                yield Batch(frame, frame.height, start + frame.height, gone=0 if start else gone)
