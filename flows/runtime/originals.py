"""Stores failed rows as read, for sources that cannot read the same rows a second time.

Where a source restarts exactly, a run of the failed rows reads them again. Rows of a live table, a query or an API may
be others by then: of those, the failed ones are kept in `_headrace.originals` of a target's database, before the batch
that they were in is committed. One row of that table holds the failed rows of one batch, as an Arrow IPC stream.
Messages of a stream that could not be decoded are stored unchanged in `_headrace.dead_letters`."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import polars as pl
import psycopg
from polars.exceptions import PolarsError

from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.errors import SourceError, TargetError
from headrace.connectors.postgresql.connections import Database, connect
from headrace.connectors.postgresql.dead_letters import create_dead_letters, forget_dead_letters, keep_dead_letters
from headrace.connectors.postgresql.originals import create_originals, forget_originals, keep_original, read_originals
from headrace.connectors.postgresql.tables.describe import first_line
from headrace.connectors.source import (
    ROW,
    Batch,
    Discovery,
    Fitting,
    Partition,
    Position,
    Source,
    Wanted,
    numbered_from,
)
from headrace.flows.resume.epoch import KEPT
from headrace.flows.runtime.transform.segment_runner import Rejects
from headrace.ir.schema import Schema


class Originals:
    """Those of one partition in one attempt. Keeps nothing without a `database`: the source restarts exactly."""

    def __init__(
        self, database: Database = "", root_run_id: str = "", source_node: str = "", partition: int = 0
    ) -> None:
        self._database = database
        self._key = (root_run_id, source_node, partition)

    def begin(self, after: int | None) -> None:
        """Deletes the stored rows of an attempt after number `after`, because they are read again; does nothing if it
        is not known (None)."""
        if self._database:
            with self._kept() as connection:
                create_originals(connection)
                create_dead_letters(connection)
                if after is not None:
                    forget_originals(connection, self._key, after)
                    root, node, index = self._key
                    first, last = numbered_from(index), numbered_from(index + 1) - 1
                    forget_dead_letters(connection, root, node, max(after, first - 1), last)

    def keep(self, batch: Batch, rejects: Iterable[Rejects], part: int = 0) -> None:
        """Keeps the messages of a batch that no row could be made of, and its rows that these cells are of; `part`
        distinguishes those of a sink (from 1) from those that failed before. Raises TargetError."""
        if not self._database:
            return
        if batch.dead is not None and not part:
            with self._kept() as connection:
                keep_dead_letters(connection, *self._key[:2], batch.dead)
        broken = [found for found in rejects if not found.warning and found.cells.height]
        failed = [found.cells.select(found.rows_of_batch().alias(ROW)).to_series() for found in broken]
        if not failed:
            return
        rows = batch.frame.filter(pl.col(ROW).is_in(pl.concat(failed).implode()))
        if rows.height:
            packed = io.BytesIO()
            rows.write_ipc_stream(packed, compression="zstd")
            first, last = rows.select(pl.col(ROW).min().alias("first"), pl.col(ROW).max().alias("last")).row(0)
            with self._kept() as connection:
                keep_original(connection, self._key, int(first), int(last), part, packed.getvalue())

    @contextmanager
    def _kept(self) -> Iterator[psycopg.Connection[Any]]:
        try:
            with connect(self._database, autocommit=True) as connection:
                yield connection
        except psycopg.Error as error:
            text = f"The failed rows cannot be kept: {first_line(error)}"
            raise TargetError("database_unavailable", text, "Nothing of them was loaded; retry the run.") from error


NO_ORIGINALS = Originals()


class KeptRows:
    """A `Source` of the failed rows that an earlier run stored, in place of their source. Each batch of a partition
    holds the failed rows of one batch."""

    note: str | None = None

    def __init__(self, source: Source, database: Database, root_run_id: str, source_node: str) -> None:
        self._source, self._database = source, database
        self._key = (root_run_id, source_node)

    def discover(self, *, max_partitions: int) -> Discovery:
        """Delegates to the source, whose columns may have changed since."""
        return self._source.discover(max_partitions=max_partitions)

    def types_of(self, columns: Collection[str]) -> Mapping[str, Fitting]:
        """Delegates to the source."""
        return self._source.types_of(columns)

    def fingerprint(self) -> str | None:
        """Delegates to the source."""
        return self._source.fingerprint()

    def sample(self, rows: int) -> pl.DataFrame:
        """Delegates to the source."""
        return self._source.sample(rows)

    def read(
        self,
        partition: Partition,
        schema: Schema,
        *,
        wanted: Wanted | None = None,
        rows_done: int = 0,
        position: Position | None = None,
    ) -> Iterator[Batch]:
        """All stored rows of the partition, in order. Raises SourceError(`column_not_kept`)."""
        with connect(self._database, autocommit=True) as connection:
            done = 0
            for frame in _merged(
                read_originals(connection, (*self._key, partition.location.get(KEPT, partition.index)))
            ):
                done += frame.height
                yield Batch(_as_wanted(frame, schema, wanted), frame.height, done)


def _merged(kept: Iterable[tuple[int, int, bytes]]) -> Iterator[pl.DataFrame]:
    """Frames in row order without duplicates: rows of one batch stored by several sinks are merged."""
    together: list[pl.DataFrame] = []
    until = 0
    for first, last, packed in kept:
        if together and first > until:
            yield pl.concat(together).unique(ROW).sort(ROW)
            together = []
        together.append(pl.read_ipc_stream(io.BytesIO(packed)))
        until = max(until, last)
    if together:
        yield pl.concat(together).unique(ROW).sort(ROW)


def _as_wanted(frame: pl.DataFrame, schema: Schema, wanted: Wanted | None) -> pl.DataFrame:
    """The stored rows with the columns and types of this version of the pipeline."""
    fields = [field for field in schema if wanted is None or field.name in wanted.columns]
    if missing := [field.name for field in fields if field.name not in frame.columns]:
        raise SourceError(
            "column_not_kept",
            f"The failed rows were kept without the column {', '.join(missing)}, which that version did not read.",
            "Start a new run.",
        )
    try:
        return frame.select(ROW, *(pl.col(field.name).cast(polars_dtype(field)) for field in fields))
    except PolarsError as error:
        text = f"The failed rows were kept with other types than the pipeline has now: {first_line(error)}"
        raise SourceError("column_not_kept", text, "Start a new run.") from None
