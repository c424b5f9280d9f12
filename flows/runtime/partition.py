"""Runs one partition of one stage: read, transform, validate and load, overlapped, after the rows that are committed.

A batch is loaded into every sink of the stage in order, and each commits it with its own ledger row. A sink that has
committed the batch already is skipped; reading begins after the rows that all sinks have.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain

import polars as pl

from headrace.catalog.runs.records import Gathered, PartitionStatus, UncommittedRows
from headrace.connectors.source import ROW, Batch, NotPassed, Partition, Restart
from headrace.connectors.target import PartitionLoader, Quarantined, Resume, Written
from headrace.flows.compile import Stage
from headrace.flows.compile.masking import masked_cells, masked_rows
from headrace.flows.compile.stages.stage import Load, Sink
from headrace.flows.enrich import Interrupted
from headrace.flows.resume.replay import is_replay, settled_rows
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.input.partition_input import PartitionInput, SourceInput, cut_batch_at
from headrace.flows.runtime.input.prefetch import prefetch
from headrace.flows.runtime.limits import ErrorBudget
from headrace.flows.runtime.memory.current_node import working_on
from headrace.flows.runtime.originals import NO_ORIGINALS, Originals
from headrace.flows.runtime.run_recorder import RunRecorder
from headrace.flows.runtime.transform.growth import Growth
from headrace.flows.runtime.transform.rejected_cells import RowOrigins, with_source_text
from headrace.flows.runtime.transform.row_counts import KEPT_OUT, PASSED_ON, SENT_AGAIN, AccountingError, RowCounts
from headrace.flows.runtime.transform.segment_runner import Rejects
from headrace.flows.runtime.transform.stage_runner import SinkBatch, run_batch

PROGRESS_SECONDS = 1.0
"""Progress of a partition is reported at most this often."""


class Stopped(Exception):
    """This partition stopped between two batches, because another one failed or the run was cancelled."""


@dataclass(frozen=True, slots=True)
class Work:
    """The context of a partition. `loaders` by the id of their sink."""

    stage: Stage
    partition: Partition
    feed: PartitionInput
    loaders: Mapping[str, PartitionLoader]
    recorder: RunRecorder
    budget: ErrorBudget
    stop: threading.Event
    row_origins: RowOrigins
    originals: Originals = NO_ORIGINALS
    """Stores the failed rows of a source that cannot give the same rows a second time."""
    published: frozenset[str] = frozenset()
    """Targets that report refused rows again when staged rows are published."""

    @property
    def divisible(self) -> bool:
        """Whether a piece of a batch may be committed: only where the other rows will be the same when read again."""
        return not isinstance(self.feed, SourceInput) or self.feed.restart is Restart.EXACT


@dataclass(slots=True)
class _Processed:
    """A batch that is ready to load, with its rejects; only for the sinks that have not committed it."""

    batch: Batch
    arrived: dict[str, SinkBatch]
    quarantined: dict[str, list[Quarantined]]


Committed = dict[str, Resume]
"""The committed progress of each sink, by its id."""


def run_partition(work: Work) -> Resume:
    """Loads the rest of the partition. Returns the sums of the committed ledger rows of its sinks.

    Raises SourceError, TargetError or RunFailed with a text for people, and Stopped. Committed batches stay committed
    and counted, whatever is raised.
    """
    index, sinks = work.partition.index, work.stage.sinks
    with ExitStack() as open_loaders:
        loaders = {sink.id: open_loaders.enter_context(work.loaders[sink.id]) for sink in sinks}
        committed: Committed = {sink.id: loaders[sink.id].resume for sink in sinks}
        read_before = all(resume.finished for resume in committed.values())
        for sink in sinks:
            _forget_uncommitted(work, sink, committed[sink.id])
        # Rows that a sink refused in a committed batch stay: it does not get that batch again.
        work.originals.begin(_last_row(work, max(resume.rows_done for resume in committed.values())))
        if done := min(resume.rows_done for resume in committed.values()):
            work.recorder.log("load", f"Partition {index + 1}: continues after {done:,} committed rows")
        _tell(work, "running", committed)
        reported_at = time.monotonic()
        refused = Counter[str]()
        try:
            for processed in prefetch(_process(work, prefetch(_read(work, committed)), dict(committed))):
                for sink in sinks:
                    if sink.id in processed.arrived:
                        committed[sink.id] = _load(work, sink, loaders[sink.id], processed, committed[sink.id], refused)
                if time.monotonic() - reported_at >= PROGRESS_SECONDS:
                    _tell(work, "running", committed)
                    reported_at = time.monotonic()
        except NotPassed:
            raise  # it is read on
        except BaseException:
            _tell(work, "failed", committed)
            raise
        for resume in committed.values():
            if not read_before and work.feed.rows is not None and resume.rows_done != work.feed.rows:
                raise AccountingError(
                    f"Partition {index + 1} of {work.stage.name} holds {work.feed.rows:,} rows "
                    f"but {resume.rows_done:,} were read: the source changed while it was read"
                )
        return _tell(work, "completed", committed)


def _tell(work: Work, status: PartitionStatus, committed: Committed) -> Resume:
    """Reports the partition; returns its counts."""
    done = _total(work.stage, committed)
    gathered = None
    if work.stage.exchange is not None:
        rows = committed[work.stage.sinks[0].id].rows_done
        gathered = Gathered(rows, rows if status == "completed" else work.feed.rows or None)
    work.recorder.progress(work.stage.index, work.partition.index, status, done, gathered=gathered)
    return done


def _forget_uncommitted(work: Work, sink: Sink, resume: Resume) -> None:
    """Deletes the errors of rows whose batch was not committed. Errors are recorded before their batch commits; if the
    row is good the next time, a replay must not take it for a failed row."""
    nodes = tuple(node for node in sink.owned if node not in work.published)
    if nodes and (last_row := _last_row(work, resume.rows_done)) is not None:
        work.recorder.forget(UncommittedRows(work.stage.index, work.partition.index, nodes, last_row))


def _last_row(work: Work, rows_done: int) -> int | None:
    """The number of the last of the first `rows_done` rows, 0 for none; None if rows are not numbered in reading
    order."""
    if not rows_done:
        return 0
    if work.stage.exchange is not None or any(
        step.copies > 1 for segment in work.stage.segments for step in segment.steps
    ):
        return None
    if is_replay(work.partition):
        return int(work.partition.location["open"][rows_done - 1])
    return work.partition.first_row + rows_done - 1


def _total(stage: Stage, committed: Committed) -> Resume:
    """The counts of the partition. Source rows count once, with the first sink; rows of a shuffle stage are not
    source rows."""
    counted = RowCounts()
    for resume in committed.values():
        counted = counted.plus(RowCounts.of(resume.counters, resume.counters))
    first = committed[stage.sinks[0].id]
    return Resume(
        rows_done=first.rows_done if stage.exchange is None else 0,
        rows_loaded=sum(resume.rows_loaded for resume in committed.values()),
        rows_failed=sum(resume.rows_failed for resume in committed.values()),
        rows_skipped=sum(resume.rows_skipped for resume in committed.values()),
        position=first.position,
        counters=counted.nodes,
    )


def _read(work: Work, committed: Committed) -> Iterator[Batch]:
    if all(resume.finished for resume in committed.values()):
        return
    last = min(committed.values(), key=lambda resume: resume.rows_done)
    marks = {resume.rows_done for resume in committed.values()}
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
    failed = {sink: resume.rows_failed for sink, resume in begin.items()}
    for sink in begin:  # rows that were refused in an earlier attempt are counted as committed
        work.budget.record((work.stage.index, work.partition.index, sink), 0, 0)
    settled = settled_rows(work.partition)
    growth = Growth()
    for batch in chain.from_iterable(map(growth.cut, batches)) if work.divisible else batches:
        if work.stop.is_set():
            raise Stopped(f"Partition {work.partition.index + 1} was stopped")
        wanted = [sink for sink, resume in begin.items() if _lacks(resume, batch)]
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
        seen = batch.rows_done if work.stage.exchange is None else 0
        try:
            work.budget.record((work.stage.index, work.partition.index), sum(failed.values()), seen)
        except RunFailed:
            _report_all(work, arrived)
            raise
        kept = {sink: list(_quarantined(work, batch, each)) for sink, each in arrived.items()}
        growth.made(batch, _held(arrived, kept))
        yield _Processed(batch, arrived, kept)


def _held(arrived: Mapping[str, SinkBatch], kept: Mapping[str, list[Quarantined]]) -> Iterator[pl.DataFrame]:
    for each in arrived.values():
        yield each.frame
        yield from (found.cells for found in each.rejects)
    for some in kept.values():
        yield from (each.rows for each in some)


def _lacks(resume: Resume, batch: Batch) -> bool:
    """Whether a sink that began at `resume` has still to commit the batch. A batch without rows moves the position, or
    marks the end of the partition."""
    if batch.rows == 0:
        return resume.rows_done <= batch.rows_done and not resume.finished
    return resume.rows_done < batch.rows_done


def _quarantined(work: Work, batch: Batch, arrived: SinkBatch) -> Iterator[Quarantined]:
    """The rows that failed at nodes with a quarantine table, as the stage read them, with hidden columns masked."""
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
    """Writes one batch to one sink. Rows that the database refuses become failed rows of the target, and are added to
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
            # Staged rows are counted as the output of the target when they are published.
            out = -refused - written.skipped - written.held
            row_counts.add(sink.target.id, failed=refused, skipped=written.skipped, rowsOut=out)
            further = ((KEPT_OUT, written.kept_out), (PASSED_ON, written.passed_on), (SENT_AGAIN, written.sent_again))
            for counter, rows in further:
                row_counts.add(sink.target.id, **({counter: rows} if rows else {}))
            if refused:
                copies = work.stage.trunk.copies_to(sink.id)
                refused_rows = Rejects(sink.target.id, written.rejects, copies=copies, written=sink.cells)
                work.originals.keep(batch, [refused_rows], 1 + work.stage.sinks.index(sink))
                refused_rows.cells = with_source_text(refused_rows, batch)
                rejects = [*rejects, refused_rows]
        _report(work, rejects)
        total = RowCounts.of(sink.owned, before.counters).plus(row_counts)
        if isinstance(sink, Load):
            # Refused rows are counted separately, because later batches are transformed before this one is loaded.
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
    for note in written.notes:
        work.recorder.log("load", note)
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
        cells = work.row_origins.described(work.stage, cells, copies=found.copies)
        work.recorder.rejected(work.stage.index, work.partition.index, found.node, cells, warning=found.warning)
