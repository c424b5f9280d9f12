"""The partitions of a shuffle stage: each evaluates its bucket once, into a file, and reads the file in batches.

The rows of a bucket and their order depend only on the rows that were sent, so an attempt that evaluates the bucket
again continues exactly after what an earlier attempt committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

import polars as pl
from polars.exceptions import PolarsError

from headrace.connectors.postgresql.connections import Database, connect
from headrace.connectors.postgresql.ledger.exchange_manifest import read_sent
from headrace.connectors.source import ROW, Batch, Position
from headrace.flows.compile.push_down.projection import filled_up
from headrace.flows.compile.scope import first_line
from headrace.flows.compile.shuffle import ShuffleSide
from headrace.flows.compile.stages.stage import ShuffleRead
from headrace.flows.enrich import Interrupted
from headrace.flows.fork_lock import ForkLock
from headrace.flows.query import QUERY_LIMITS, QueryLimits, QueryStopped
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.memory.current_node import working_on
from headrace.flows.runtime.shuffle.pieces import SentRows, divided, one_after_the_other, pieces_of
from headrace.flows.runtime.shuffle.sizes import Size
from headrace.flows.runtime.shuffle.writer import bucket_of, folder, is_committed, place, size_in_name
from headrace.flows.runtime.staging.files import StagingFiles

BATCH_ROWS = 65_536
_BATCH_BYTES = 16 * 1024 * 1024
"""What a batch takes in memory at most, but for one row."""

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
    _sent: dict[int, list[SentRows]] = field(default_factory=dict, init=False)
    """What was sent to a bucket, by side."""

    def result(self, bucket: int) -> tuple[str, int]:
        """The file with the bucket's rows, evaluated if it does not exist yet, and the number of input rows. Raises
        RunFailed and Interrupted."""
        with _one_at_a_time:
            where = self._place(bucket)
            for _, name, _ in self.files.list(where):
                return name, int(name.removesuffix(".parquet").partition("-")[2])
            rows_in = sum(each.size.rows for each in self.sent(bucket))
            name = f"rows-{rows_in}.parquet"
            mine = QUERY_LIMITS.set(self.means)
            try:
                with working_on(self.exchange.node):
                    self._evaluate(bucket, where, name)
            except QueryStopped:
                raise Interrupted from None
            except PolarsError as error:
                text = f"{self.exchange.node}: {self.exchange.label} cannot be computed: {first_line(error)}"
                raise RunFailed(text) from error
            finally:
                QUERY_LIMITS.reset(mine)
            return name, rows_in

    def _evaluate(self, bucket: int, where: str, name: str) -> None:
        shuffle = self.exchange.shuffle
        self._store(bucket, where, name, lambda frames, before: shuffle.apply(frames, bucket, self.buckets, before))

    def _store(
        self, bucket: int, where: str, name: str, evaluate: Callable[[Sequence[pl.LazyFrame], int], pl.LazyFrame]
    ) -> None:
        """Writes what `evaluate` makes of a bucket, in pieces if need be."""
        shuffle, sent, group = self.exchange.shuffle, self.sent(bucket), self.batch_rows(bucket)
        if (many := pieces_of(shuffle, sent)) > 1:
            above, _, number = where.rpartition("/")
            pieces = divided(self.files, shuffle, sent, self.buckets, many, f"{above}.pieces/{number}")
            self.files.append(where, name, one_after_the_other(pieces, evaluate), group_rows=group)
            return
        with ExitStack() as reading:
            frames = [
                reading.enter_context(self.files.reading(each.place, [*each.names], each.side.schema)) for each in sent
            ]
            self.files.sink(where, name, evaluate(frames, 0), group_rows=group)

    def batch_rows(self, bucket: int) -> int:
        """How many of a bucket's output rows are read at once."""
        width = sum(each.memory // max(1, each.size.rows) for each in self.sent(bucket))
        return max(1, min(BATCH_ROWS, _BATCH_BYTES // max(1, width)))

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
                shuffle = self.exchange.shuffle
                self._store(
                    bucket, where, name, lambda frames, before: shuffle.traced(frames, bucket, self.buckets, before)
                )
        return self.files.reading(where, [name], pl.Schema())

    def _place(self, bucket: int) -> str:
        layout = "-".join(side.layout for side in self.exchange.shuffle.sides)
        return f"{self.exchange.id}-{layout}/{bucket:04}"

    def sent(self, bucket: int) -> list[SentRows]:
        """What was sent to a bucket, by side. Raises RunFailed."""
        if bucket not in self._sent:
            sides = self.exchange.shuffle.sides
            if self._names is None:
                self._names = [self._committed(self._sink(number), side) for number, side in enumerate(sides)]
            self._sent[bucket] = [
                self._sent_rows(side, place(self._sink(number), side, bucket), self._names[number][bucket])
                for number, side in enumerate(sides)
            ]
        return self._sent[bucket]

    def _sink(self, side: int) -> str:
        return f"{self.exchange.id}.{side}"

    def _sent_rows(self, side: ShuffleSide, where: str, names: list[str]) -> SentRows:
        sizes = [size for name in names if (size := size_in_name(name)) is not None]
        if len(sizes) == len(names):
            return SentRows(side, where, names, Size.total(sizes))
        with self.files.reading(where, names, side.schema) as frame:  # some are of an earlier release
            return SentRows(side, where, names, Size(_height(frame), 0))

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
            most = self.gathered.batch_rows(self.bucket)
            size = min(self.batch_rows or most, most)
            for start in range(rows_done, self.rows, size):
                frame = filled_up(scanned.slice(start, size).collect(), self.unread)
                yield Batch(frame, frame.height, start + frame.height, gone=0 if start else gone)
