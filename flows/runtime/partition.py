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

from headrace.catalog.runs.records import UncommittedRows
from headrace.connectors.source import ROW, Batch, Partition
from headrace.connectors.target import PartitionLoader, Quarantined, Resume, Written
from headrace.flows.compile import Stage
from headrace.flows.compile.masking import masked_cells, masked_rows
from headrace.flows.compile.stages.stage import Load, Sink
from headrace.flows.enrich import Interrupted
from headrace.flows.resume.replay import is_replay, settled_rows
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.input.partition_input import PartitionInput, cut_batch_at
from headrace.flows.runtime.input.prefetch import prefetch
from headrace.flows.runtime.limits import ErrorBudget
from headrace.flows.runtime.memory.current_node import working_on
from headrace.flows.runtime.originals import NO_ORIGINALS, Originals
from headrace.flows.runtime.run_recorder import RunRecorder
from headrace.flows.runtime.transform.rejected_cells import RowOrigins, with_source_text
from headrace.flows.runtime.transform.row_counts import AccountingError, RowCounts
from headrace.flows.runtime.transform.segment_runner import Rejects
from headrace.flows.runtime.transform.stage_runner import SinkBatch, run_batch

PROGRESS_SECONDS = 1.0
"""Progress of a partition is told at most this often."""


class Stopped(Exception):
    """Another partition failed or the run was cancelled: this one stopped between two batches."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a partition needs. `loaders` by the id of their sink."""

    stage: Stage
    partition: Partition
    feed: PartitionInput
    loaders: Mapping[str, PartitionLoader]
    recorder: RunRecorder
    budget: ErrorBudget
    stop: threading.Event
    row_origins: RowOrigins
    originals: Originals = NO_ORIGINALS
    """Where the rows that fail are kept, of a source that cannot give them a second time."""
    published: frozenset[str] = frozenset()
    """Targets that are told of refused rows later too, when what was held back is published."""


@dataclass(slots=True)
class _Processed:
    """A batch that is ready to load, with what was found out about it; only at the sinks that lack it."""

    batch: Batch
    arrived: dict[str, SinkBatch]
    quarantined: dict[str, list[Quarantined]]


Committed = dict[str, Resume]
"""How far each sink is, as committed."""


def run_partition(work: Work) -> Resume:
    """Loads what is left of the partition; gives the sums of its sinks' ledger rows as committed.

    Raises SourceError, TargetError or RunFailed with a text for people, Stopped when told to stop. What was committed
    stays committed and counted, whatever is raised.
    """
    index, sinks = work.partition.index, work.stage.sinks
    with ExitStack() as open_loaders:
        loaders = {sink.id: open_loaders.enter_context(work.loaders[sink.id]) for sink in sinks}
        stands: Committed = {sink.id: loaders[sink.id].resume for sink in sinks}
        read_before = all(committed.finished for committed in stands.values())
        for sink in sinks:
            _forget_uncommitted(work, sink, stands[sink.id])
        # What a sink refused of a batch that it has committed stays: that batch is not offered to it again.
        work.originals.begin(_last_row(work, max(committed.rows_done for committed in stands.values())))
        if done := min(committed.rows_done for committed in stands.values()):
            work.recorder.log("load", f"Partition {index + 1}: continues after {done:,} committed rows")
        work.recorder.progress(work.stage.index, index, "running", _total(work.stage, stands))
        told = time.monotonic()
        refused = Counter[str]()
        try:
            for processed in prefetch(_process(work, prefetch(_read(work, stands)), dict(stands))):
                for sink in sinks:
                    if sink.id in processed.arrived:
                        stands[sink.id] = _load(work, sink, loaders[sink.id], processed, stands[sink.id], refused)
                if time.monotonic() - told >= PROGRESS_SECONDS:
                    work.recorder.progress(work.stage.index, index, "running", _total(work.stage, stands))
                    told = time.monotonic()
        except BaseException:
            work.recorder.progress(work.stage.index, index, "failed", _total(work.stage, stands))
            raise
        for committed in stands.values():
            if not read_before and work.feed.rows is not None and committed.rows_done != work.feed.rows:
                raise AccountingError(
                    f"Partition {index + 1} of {work.stage.name} holds {work.feed.rows:,} rows "
                    f"but {committed.rows_done:,} were read: the source changed while it was read"
                )
        done_with = _total(work.stage, stands)
        work.recorder.progress(work.stage.index, index, "completed", done_with)
        return done_with


def _forget_uncommitted(work: Work, sink: Sink, committed: Resume) -> None:
    """Errors are told before their batch commits. Should it never do so, and the row be good the next time, a replay
    must not take it for one that failed."""
    nodes = tuple(node for node in sink.owned if node not in work.published)
    if nodes and (last_row := _last_row(work, committed.rows_done)) is not None:
        work.recorder.forget(UncommittedRows(work.stage.index, work.partition.index, nodes, last_row))


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


def _total(stage: Stage, stands: Committed) -> Resume:
    """The partition's own counts. Source rows count once, with the first sink; those of a gathering stage are not
    source rows."""
    counted = RowCounts()
    for committed in stands.values():
        counted = counted.plus(RowCounts.of(committed.counters, committed.counters))
    first = stands[stage.sinks[0].id]
    return Resume(
        rows_done=first.rows_done if stage.gathering is None else 0,
        rows_loaded=sum(committed.rows_loaded for committed in stands.values()),
        rows_failed=sum(committed.rows_failed for committed in stands.values()),
        rows_skipped=sum(committed.rows_skipped for committed in stands.values()),
        position=first.position,
        counters=counted.nodes,
    )


def _read(work: Work, stands: Committed) -> Iterator[Batch]:
    if all(committed.finished for committed in stands.values()):
        return
    last = min(stands.values(), key=lambda committed: committed.rows_done)
    marks = {committed.rows_done for committed in stands.values()}
    batches = work.feed.read(last.rows_done, last.position)
    try:
        while True:
            with working_on(work.stage.root_node):
                batch = next(batches, None)
            if batch is None:
                return
            yield from cut_batch_at(batch, marks)
    except Interrupted:
        raise Stopped(f"Partition {work.partition.index + 1} was stopped") from None


def _process(work: Work, batches: Iterator[Batch], begin: Committed) -> Iterator[_Processed]:
    failed = {sink: committed.rows_failed for sink, committed in begin.items()}
    for sink in begin:  # what an attempt before this one was refused is among what is committed
        work.budget.record((work.stage.index, work.partition.index, sink), 0, 0)
    settled = settled_rows(work.partition)
    for batch in batches:
        if work.stop.is_set():
            raise Stopped(f"Partition {work.partition.index + 1} was stopped")
        wanted = [sink for sink, committed in begin.items() if _lacks(committed, batch)]
        try:
            arrived = run_batch(work.stage, batch, wanted, settled)
        except Interrupted:
            raise Stopped(f"Partition {work.partition.index + 1} was stopped") from None
        arrived = {sink: arrived[sink] for sink in wanted}
        rejects = [found for each in arrived.values() for found in each.rejects]
        work.originals.keep(batch, rejects)
        for found in rejects:
            found.cells = with_source_text(found, batch)
            if found.fatal is not None:
                _report_all(work, arrived)
                raise RunFailed(found.fatal)
        for sink, each in arrived.items():
            failed[sink] += each.row_counts.total("failed")
        seen = batch.rows_done if work.stage.gathering is None else 0
        try:
            work.budget.record((work.stage.index, work.partition.index), sum(failed.values()), seen)
        except RunFailed:
            _report_all(work, arrived)
            raise
        kept = {sink: list(_quarantined(work, batch, each)) for sink, each in arrived.items()}
        yield _Processed(batch, arrived, kept)


def _lacks(committed: Resume, batch: Batch) -> bool:
    """Whether a sink that began so has still to commit the batch. A batch without rows moves the position, or says that
    the partition has ended."""
    if batch.rows == 0:
        return committed.rows_done <= batch.rows_done and not committed.finished
    return committed.rows_done < batch.rows_done


def _quarantined(work: Work, batch: Batch, arrived: SinkBatch) -> Iterator[Quarantined]:
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
        row_counts = RowCounts.of(sink.owned, arrived.row_counts.nodes)
        if arrived.frame.height - refused - written.skipped != written.loaded + written.held:
            raise AccountingError(
                f"{work.stage.name}: {arrived.frame.height:,} rows were sent, "
                f"{written.loaded + written.held:,} taken and {refused:,} refused"
            )
        rejects = arrived.rejects
        if isinstance(sink, Load):
            # Rows that are held back come out of the target when they are published.
            out = -refused - written.skipped - written.held
            row_counts.add(sink.target.id, failed=refused, skipped=written.skipped, rowsOut=out)
            if refused:
                copies = work.stage.trunk.copies_to(sink.id)
                told = Rejects(sink.target.id, written.rejects, copies=copies, written=sink.cells)
                work.originals.keep(batch, [told], 1 + work.stage.sinks.index(sink))
                told.cells = with_source_text(told, batch)
                rejects = [*rejects, told]
        _report(work, rejects)
        total = RowCounts.of(sink.owned, before.counters).plus(row_counts)
        if isinstance(sink, Load):
            # What the target refused is counted apart: the transform of later batches runs ahead of this one.
            key = (work.stage.index, work.partition.index, sink.id)
            work.budget.record(key, refused_before[sink.id] + refused, 0)
        after = Resume(
            rows_done=batch.rows_done,
            rows_loaded=before.rows_loaded + written.loaded,
            rows_failed=before.rows_failed + row_counts.total("failed"),
            rows_skipped=before.rows_skipped + row_counts.total("skipped"),
            position=before.position if batch.position is None and not batch.rows else batch.position,
            counters=total.nodes,
            finished=batch.last or batch.rows_done == work.feed.rows,
        )
        settled.append(after)
        return after

    with working_on(sink.target.id if isinstance(sink, Load) else sink.node):
        written = loader.write(arrived.frame, on_commit, processed.quarantined[sink.id])
    refused_before[sink.id] += _refused(written)
    return settled[-1]


def _refused(written: Written) -> int:
    return 0 if written.rejects.is_empty() else written.rejects.get_column("row").n_unique()


def _report_all(work: Work, arrived: Mapping[str, SinkBatch]) -> None:
    for each in arrived.values():
        _report(work, each.rejects)


def _report(work: Work, rejects: list[Rejects]) -> None:
    for found in rejects:
        cells = masked_cells(found.cells, work.stage.private.get(found.node, frozenset()))
        cells = work.row_origins.told(work.stage, cells, copies=found.copies)
        work.recorder.rejected(work.stage.index, work.partition.index, found.node, cells, warning=found.warning)
