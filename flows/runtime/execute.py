"""The parts of a run in their order: begin, partitions, finish. Whoever orchestrates (Prefect, a thread pool) calls
these; none of them knows by whom it is called."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass

from connectors.base import Resume
from flows.compile import Stage
from flows.runtime.job import Prepared
from flows.runtime.journal import Journal
from flows.runtime.limits import ErrorBudget
from flows.runtime.partition import Work, run_partition
from flows.runtime.tally import AccountingError


@dataclass(frozen=True, slots=True)
class RunTotals:
    """Rows of a whole run. rows_in = rows_out + failed + skipped."""

    rows_in: int
    rows_out: int
    failed: int
    skipped: int


class Execution:
    """One run in this process: shared by its partitions are the error budget and the wish to stop."""

    def __init__(self, prepared: Prepared, journal: Journal) -> None:
        self.prepared, self.journal = prepared, journal
        handling = prepared.ir.error_handling
        self._budget = ErrorBudget(handling.max_error_rows, handling.max_error_rate)
        self._stop = threading.Event()

    def begin(self) -> None:
        """Once, before the first partition."""
        for source in self.prepared.sources.values():
            if source.note is not None:
                self.journal.log("extract", source.note)
        for stage in self.prepared.plan.stages:
            rows = sum(partition.rows for partition in stage.partitions)
            count = len(stage.partitions)
            self.journal.log(
                "extract", f"{stage.source.id}: {rows:,} rows in {count} partition{'' if count == 1 else 's'}"
            )
        for note in self.prepared.plan.notes:
            self.journal.log("transform", note)
        for mode in self.prepared.modes.values():
            mode.begin()

    def partition(self, stage: Stage, index: int) -> Resume:
        """Runs one partition, from where it stands; on failure tells the others to stop."""
        prepared = self.prepared
        work = Work(
            stage=stage,
            partition=stage.partitions[index],
            source=prepared.sources[stage.source.id],
            loader=prepared.modes[stage.target.id].loader(stage.index, index, stage.source.id),
            journal=self.journal,
            budget=self._budget,
            stop=self._stop,
            batch_rows=None if prepared.job.continues.replays else prepared.execution.batch_rows,
        )
        return run_partition(work)

    def stop(self) -> None:
        """Lets every partition end between two batches."""
        self._stop.set()

    def finish(self, results: Iterable[Resume]) -> RunTotals:
        """Once, after the last partition: publishes what a load mode holds back, and proves the books."""
        for mode in self.prepared.modes.values():
            mode.finish()
        done = list(results)
        totals = RunTotals(
            rows_in=sum(result.rows_done for result in done),
            rows_out=sum(result.rows_loaded for result in done),
            failed=sum(result.rows_failed for result in done),
            skipped=sum(result.rows_skipped for result in done),
        )
        if totals.rows_in != totals.rows_out + totals.failed + totals.skipped:
            raise AccountingError(f"The books do not balance: {totals}")
        if totals.rows_in != self.prepared.total_rows:
            raise AccountingError(f"{self.prepared.total_rows:,} rows were planned, {totals.rows_in:,} were read")
        tables = ", ".join(stage.target.table for stage in self.prepared.plan.stages) or "nothing to load"
        self.journal.log(
            "load",
            f"{tables}: {totals.rows_out:,} rows loaded, {totals.failed:,} failed, {totals.skipped:,} skipped "
            f"of {totals.rows_in:,}",
        )
        return totals


def run_in_threads(execution: Execution) -> RunTotals:
    """A whole run without an orchestrator: the partitions over a thread pool. Raises what the first partition to fail
    raised, after the others have stopped."""
    execution.begin()
    stages = execution.prepared.plan.stages
    with ThreadPoolExecutor(execution.prepared.execution.parallelism, thread_name_prefix="partition") as pool:
        futures = [pool.submit(execution.partition, stage, p.index) for stage in stages for p in stage.partitions]
        wait(futures, return_when=FIRST_EXCEPTION)
        failed = [future for future in futures if future.done() and future.exception() is not None]
        if failed:
            execution.stop()
            pool.shutdown(cancel_futures=True)
            failed[0].result()
    return execution.finish(future.result() for future in futures)
