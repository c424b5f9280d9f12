"""One partition of one stage: read, transform, validate and load, overlapped, continuing behind what was committed.

A batch is offered to every sink of the stage in order, and each commits it with its own ledger row. A sink that has the
batch already is passed over; reading begins behind what all of them have.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import polars as pl

from catalog.run_records import Uncommitted
from connectors.base import ROW, Batch, Partition, PartitionLoader, Quarantined, Resume, Written
from flows.compile import Stage
from flows.compile.private import masked_cells, masked_rows
from flows.compile.stage import Load, Sink
from flows.enrich import Interrupted
from flows.runtime.ahead import ahead
from flows.runtime.batches import cut_at
from flows.runtime.feed import Feed
from flows.runtime.journal import Journal
from flows.runtime.limits import ErrorBudget, RunFailed
from flows.runtime.replay import is_replay, settled_rows
from flows.runtime.sieve import Rejects
from flows.runtime.tally import AccountingError, Tally
from flows.runtime.tree import Arrived, pass_through

PROGRESS_SECONDS = 1.0
"""Progress of a partition is told at most this often."""


class Stopped(Exception):
    """Another partition failed or the run was cancelled: this one stopped between two batches."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a partition needs. `loaders` by the id of their sink."""

    stage: Stage
    partition: Partition
    feed: Feed
    loaders: Mapping[str, PartitionLoader]
    journal: Journal
    budget: ErrorBudget
    stop: threading.Event
    published: frozenset[str] = frozenset()
    """Targets that are told of refused rows later too, when what was held back is published."""


@dataclass(slots=True)
class _Processed:
    """A batch that is ready to load, with what was found out about it; only at the sinks that lack it."""

    batch: Batch
    arrived: dict[str, Arrived]
    quarantined: dict[str, list[Quarantined]]


Stands = dict[str, Resume]
"""How far each sink is, as committed."""


def run_partition(work: Work) -> Resume:
    """Loads what is left of the partition; gives the sums of its sinks' ledger rows as committed.

    Raises SourceError, TargetError or RunFailed with a text for people, Stopped when told to stop. What was committed
    stays committed and counted, whatever is raised.
    """
    index, sinks = work.partition.index, work.stage.sinks
    with ExitStack() as open_loaders:
        loaders = {sink.id: open_loaders.enter_context(work.loaders[sink.id]) for sink in sinks}
        stands: Stands = {sink.id: loaders[sink.id].resume for sink in sinks}
        for sink in sinks:
            _forget_uncommitted(work, sink, stands[sink.id])
        if done := min(committed.rows_done for committed in stands.values()):
            work.journal.log("load", f"Partition {index + 1}: continuing behind {done:,} committed rows")
        work.journal.progress(work.stage.index, index, "running", _total(work.stage, stands))
        told = time.monotonic()
        refused = Counter[str]()
        try:
            for processed in ahead(_process(work, ahead(_read(work, stands)), dict(stands))):
                for sink in sinks:
                    if sink.id in processed.arrived:
                        stands[sink.id] = _load(work, sink, loaders[sink.id], processed, stands[sink.id], refused)
                if time.monotonic() - told >= PROGRESS_SECONDS:
                    work.journal.progress(work.stage.index, index, "running", _total(work.stage, stands))
                    told = time.monotonic()
        except BaseException:
            work.journal.progress(work.stage.index, index, "failed", _total(work.stage, stands))
            raise
        for committed in stands.values():
            if committed.rows_done != work.feed.rows:
                raise AccountingError(
                    f"Partition {index + 1} of {work.stage.name} holds {work.feed.rows:,} rows "
                    f"but {committed.rows_done:,} were read: the source changed while it was read"
                )
        done_with = _total(work.stage, stands)
        work.journal.progress(work.stage.index, index, "completed", done_with)
        return done_with


def _forget_uncommitted(work: Work, sink: Sink, committed: Resume) -> None:
    """Errors are told before their batch commits. Should it never do so, and the row be good the next time, a replay
    must not take it for one that failed."""
    nodes = tuple(node for node in sink.owned if node not in work.published)
    if nodes and (last_row := _last_row(work, committed.rows_done)) is not None:
        work.journal.forget(Uncommitted(work.stage.index, work.partition.index, nodes, last_row))


def _last_row(work: Work, rows_done: int) -> int | None:
    """The number of the last of the first `rows_done` rows, 0 for none of them; None where rows are not numbered as
    they are read."""
    if not rows_done:
        return 0
    if work.stage.gathering is not None or any(
        step.copies > 1 for segment in work.stage.segments for step in segment.steps
    ):
        return None
    if is_replay(work.partition):
        return int(work.partition.location["open"][rows_done - 1])
    return work.partition.first_row + rows_done - 1


def _total(stage: Stage, stands: Stands) -> Resume:
    """The partition's own counts. Source rows count once, with the first sink; those of a gathering stage are not
    source rows."""
    counted = Tally()
    for committed in stands.values():
        counted = counted.plus(Tally.of(committed.counters, committed.counters))
    first = stands[stage.sinks[0].id]
    return Resume(
        rows_done=first.rows_done if stage.gathering is None else 0,
        rows_loaded=sum(committed.rows_loaded for committed in stands.values()),
        rows_failed=sum(committed.rows_failed for committed in stands.values()),
        rows_skipped=sum(committed.rows_skipped for committed in stands.values()),
        position=first.position,
        counters=counted.nodes,
    )


def _read(work: Work, stands: Stands) -> Iterator[Batch]:
    last = min(stands.values(), key=lambda committed: committed.rows_done)
    marks = {committed.rows_done for committed in stands.values()}
    for batch in work.feed.read(last.rows_done, last.position):
        yield from cut_at(batch, marks)


def _process(work: Work, batches: Iterator[Batch], begin: Stands) -> Iterator[_Processed]:
    failed = {sink: committed.rows_failed for sink, committed in begin.items()}
    for sink in begin:  # what an attempt before this one was refused is among what is committed
        work.budget.record((work.stage.index, work.partition.index, sink), 0, 0)
    settled = settled_rows(work.partition)
    for batch in batches:
        if work.stop.is_set():
            raise Stopped(f"Partition {work.partition.index + 1} was stopped")
        wanted = [sink for sink, committed in begin.items() if committed.rows_done < batch.rows_done]
        try:
            arrived = pass_through(work.stage, batch, wanted, settled)
        except Interrupted:
            raise Stopped(f"Partition {work.partition.index + 1} was stopped") from None
        arrived = {sink: arrived[sink] for sink in wanted}
        for found in (found for each in arrived.values() for found in each.rejects):
            if found.fatal is not None:
                _tell_all(work, arrived)
                raise RunFailed(found.fatal)
        for sink, each in arrived.items():
            failed[sink] += each.tally.total("failed")
        seen = batch.rows_done if work.stage.gathering is None else 0
        try:
            work.budget.record((work.stage.index, work.partition.index), sum(failed.values()), seen)
        except RunFailed:
            _tell_all(work, arrived)
            raise
        kept = {sink: list(_quarantined(work, batch, each)) for sink, each in arrived.items()}
        yield _Processed(batch, arrived, kept)


def _quarantined(work: Work, batch: Batch, arrived: Arrived) -> Iterator[Quarantined]:
    """The rows that failed at nodes with a quarantine table, as the stage got them, but for what must not be shown."""
    for found in arrived.rejects:
        if found.warning or found.node not in work.stage.quarantine:
            continue
        original = pl.struct(pl.exclude("^__.*$")).struct.json_encode().alias("row")
        cells = found.cells.with_columns(found.rows_of_batch().alias("of_batch"))
        failed = batch.frame.filter(pl.col(ROW).is_in(cells.get_column("of_batch").implode()))
        failed = masked_rows(failed, work.stage.hidden)
        rows = cells.join(failed.select(pl.col(ROW).alias("of_batch"), original), on="of_batch")
        # PostgreSQL's jsonb has no NUL character.
        json = pl.col("row_right").str.replace_all("\\u0000", "", literal=True).alias("row")
        selected = rows.select(pl.col("row").alias("row_number"), "rule", "error", json)
        yield Quarantined(work.stage.quarantine[found.node], found.node, selected)


def _load(
    work: Work,
    sink: Sink,
    loader: PartitionLoader,
    processed: _Processed,
    before: Resume,
    refused_before: Counter[str],
) -> Resume:
    """Writes one batch to one sink; what the database refuses becomes the target's failed rows, and is added to
    `refused_before`."""
    batch, arrived = processed.batch, processed.arrived[sink.id]
    settled: list[Resume] = []

    def on_commit(written: Written) -> Resume:
        refused = _refused(written)
        tally = Tally.of(sink.owned, arrived.tally.nodes)
        if arrived.frame.height - refused - written.skipped != written.loaded + written.held:
            raise AccountingError(
                f"{work.stage.name}: {arrived.frame.height:,} rows were sent, "
                f"{written.loaded + written.held:,} taken and {refused:,} refused"
            )
        rejects = arrived.rejects
        if isinstance(sink, Load):
            # Rows that are held back come out of the target when they are published.
            out = -refused - written.skipped - written.held
            tally.add(sink.target.id, failed=refused, skipped=written.skipped, rowsOut=out)
            if refused:
                rejects = [*rejects, Rejects(sink.target.id, written.rejects)]
        _tell(work, rejects)
        total = Tally.of(sink.owned, before.counters).plus(tally)
        if isinstance(sink, Load):
            # What the target refused is counted apart: the transform of later batches runs ahead of this one.
            key = (work.stage.index, work.partition.index, sink.id)
            work.budget.record(key, refused_before[sink.id] + refused, 0)
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

    refused_before[sink.id] += _refused(loader.write(arrived.frame, on_commit, processed.quarantined[sink.id]))
    return settled[-1]


def _refused(written: Written) -> int:
    return 0 if written.rejects.is_empty() else written.rejects.get_column("row").n_unique()


def _tell_all(work: Work, arrived: Mapping[str, Arrived]) -> None:
    for each in arrived.values():
        _tell(work, each.rejects)


def _tell(work: Work, rejects: list[Rejects]) -> None:
    for found in rejects:
        cells = masked_cells(found.cells, work.stage.private.get(found.node, frozenset()))
        work.journal.rejected(work.stage.index, work.partition.index, found.node, cells, warning=found.warning)
