"""One partition of one stage: read, transform, validate and load, overlapped, continuing behind what was committed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from connectors.base import ROW, Batch, Partition, PartitionLoader, Quarantined, Resume, Source, Written
from flows.compile import Stage
from flows.runtime.ahead import ahead
from flows.runtime.batches import cut
from flows.runtime.journal import Journal
from flows.runtime.limits import ErrorBudget, RunFailed
from flows.runtime.sieve import Rejects, sieve
from flows.runtime.tally import AccountingError, Tally

PROGRESS_SECONDS = 1.0
"""Progress of a partition is told at most this often."""


class Stopped(Exception):
    """Another partition failed or the run was cancelled: this one stopped between two batches."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a partition needs. `batch_rows` bounds the rows of one transaction, where the user asked for it."""

    stage: Stage
    partition: Partition
    source: Source
    loader: PartitionLoader
    journal: Journal
    budget: ErrorBudget
    stop: threading.Event
    batch_rows: int | None = None


@dataclass(slots=True)
class _Processed:
    """A batch that is ready to load, with what was found out about it."""

    batch: Batch
    frame: pl.DataFrame
    tally: Tally
    rejects: list[Rejects]
    quarantined: list[Quarantined]


def run_partition(work: Work) -> Resume:
    """Loads what is left of the partition; gives the ledger row as committed.

    Raises SourceError, TargetError or RunFailed with a text for people, Stopped when told to stop. What was committed
    stays committed and counted, whatever is raised.
    """
    index = work.partition.index
    with work.loader as loader:
        committed = loader.resume
        if committed.rows_done:
            work.journal.log("load", f"Partition {index + 1}: continuing behind {committed.rows_done:,} committed rows")
        work.journal.progress(work.stage.index, index, "running", committed)
        told = time.monotonic()
        try:
            for processed in ahead(_process(work, ahead(_read(work, committed)), committed)):
                committed = _load(work, loader, processed, committed)
                if time.monotonic() - told >= PROGRESS_SECONDS:
                    work.journal.progress(work.stage.index, index, "running", committed)
                    told = time.monotonic()
        except BaseException:
            work.journal.progress(work.stage.index, index, "failed", committed)
            raise
        if committed.rows_done != work.partition.rows:
            raise AccountingError(
                f"Partition {index + 1} of {work.stage.name} holds {work.partition.rows:,} rows "
                f"but {committed.rows_done:,} were read: the source changed while it was read"
            )
        work.journal.progress(work.stage.index, index, "completed", committed)
        return committed


def _read(work: Work, committed: Resume) -> Iterator[Batch]:
    batches = work.source.read(
        work.partition, work.stage.schema, rows_done=committed.rows_done, position=committed.position
    )
    for batch in batches:
        yield from cut(batch, work.partition.first_row, work.batch_rows)


def _process(work: Work, batches: Iterator[Batch], committed: Resume) -> Iterator[_Processed]:
    source, failed = work.stage.source.id, committed.rows_failed
    for batch in batches:
        if work.stop.is_set():
            raise Stopped(f"Partition {work.partition.index + 1} was stopped")
        tally, rejects = Tally.of(work.stage.nodes), list[Rejects]()
        if not batch.rejects.is_empty():
            tally.add(source, failed=batch.rejects.get_column("row").n_unique())
            rejects.append(Rejects(source, batch.rejects))
        frame = batch.frame
        for segment in work.stage.segments:
            sieved = sieve(segment, frame, tally)
            frame = sieved.frame
            rejects += sieved.rejects
        for found in rejects:
            if found.fatal is not None:
                _tell(work, rejects)
                raise RunFailed(found.fatal)
        failed += tally.total("failed")
        try:
            work.budget.record((work.stage.index, work.partition.index), failed, batch.rows_done)
        except RunFailed:
            _tell(work, rejects)
            raise
        if (left := tally.settle(work.stage.nodes, batch.rows)) != frame.height:
            raise AccountingError(f"{work.stage.name}: {left:,} rows should be left of a batch, not {frame.height:,}")
        kept = [_quarantined(work, batch, found) for found in rejects if found.node in work.stage.quarantine]
        yield _Processed(batch, frame, tally, rejects, [each for each in kept if each is not None])


def _quarantined(work: Work, batch: Batch, found: Rejects) -> Quarantined | None:
    """The rows that failed at a node with a quarantine table, as they were read from the source."""
    if found.warning:
        return None
    original = pl.struct(pl.exclude(ROW)).struct.json_encode().alias("row")
    failed = batch.frame.filter(pl.col(ROW).is_in(found.cells.get_column("row").implode()))
    rows = found.cells.join(
        failed.select(pl.col(ROW).alias("row_number"), original), left_on="row", right_on="row_number"
    )
    # PostgreSQL's jsonb has no NUL character.
    json = pl.col("row_right").str.replace_all("\\u0000", "", literal=True).alias("row")
    selected = rows.select(pl.col("row").alias("row_number"), "rule", "error", json)
    return Quarantined(work.stage.quarantine[found.node], found.node, selected)


def _load(work: Work, loader: PartitionLoader, processed: _Processed, before: Resume) -> Resume:
    """Writes one batch; what the database refuses becomes the target's failed rows."""
    batch, target = processed.batch, work.stage.target.id
    settled: list[Resume] = []

    def on_commit(written: Written) -> Resume:
        refused = 0 if written.rejects.is_empty() else written.rejects.get_column("row").n_unique()
        tally = Tally.of(work.stage.nodes, processed.tally.nodes)
        tally.add(target, failed=refused)
        if tally.settle(work.stage.nodes, batch.rows) != written.loaded:
            raise AccountingError(
                f"{work.stage.name}: {processed.frame.height:,} rows were sent, "
                f"{written.loaded:,} loaded and {refused:,} refused"
            )
        rejects = processed.rejects
        if refused:
            rejects = [*rejects, Rejects(target, written.rejects)]
        _tell(work, rejects)
        total = Tally.of(work.stage.nodes, before.counters).plus(tally)
        # What the target refused is counted apart: the transform of later batches runs ahead of this one.
        work.budget.record((work.stage.index, work.partition.index, target), total.nodes[target]["failed"], 0)
        after = Resume(
            rows_done=batch.rows_done,
            rows_loaded=before.rows_loaded + written.loaded,
            rows_failed=before.rows_failed + tally.total("failed"),
            rows_skipped=before.rows_skipped + tally.total("skipped"),
            position=batch.position,
            counters=total.nodes,
        )
        settled.append(after)
        return after

    loader.write(processed.frame, on_commit, processed.quarantined)
    return settled[-1]


def _tell(work: Work, rejects: list[Rejects]) -> None:
    for found in rejects:
        work.journal.rejected(work.stage.index, work.partition.index, found.node, found.cells, warning=found.warning)
