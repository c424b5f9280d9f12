"""The parts of a run in their order: begin, partitions, publications, finish. The orchestrator (Prefect, a thread
pool) calls these; none of them knows its caller."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import psycopg

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.connections import connect
from headrace.connectors.postgresql.ledger.partitions import rows_done
from headrace.connectors.postgresql.load.prepare import prepare_database
from headrace.connectors.postgresql.modes import LoadMode
from headrace.connectors.postgresql.tables.describe import first_line
from headrace.connectors.postgresql.tables.garbage_collection import drop_abandoned_tables
from headrace.connectors.postgresql.tables.quarantine import delete_run_rows
from headrace.connectors.source import NotPassed, Restart
from headrace.connectors.target import PartitionLoader, Resume
from headrace.flows.compile import Load, Stage
from headrace.flows.compile.pass_through import passing
from headrace.flows.compile.stages.stage import Audit, Sink
from headrace.flows.resume.restage import check_loaded_rows
from headrace.flows.runtime.cursors import acknowledge_cursors
from headrace.flows.runtime.databases import distinct
from headrace.flows.runtime.dataset_check import DatasetChecks
from headrace.flows.runtime.hooks.run import Hooks
from headrace.flows.runtime.input.partition_input import PartitionInput, ReadLimits, SourceInput
from headrace.flows.runtime.job import Prepared, finish_copies
from headrace.flows.runtime.limits import ErrorBudget
from headrace.flows.runtime.memory.watch import explain_memory_errors
from headrace.flows.runtime.originals import NO_ORIGINALS, Originals
from headrace.flows.runtime.partition import Work, run_partition
from headrace.flows.runtime.run_recorder import RunRecorder
from headrace.flows.runtime.shuffle.exchange import Exchange
from headrace.flows.runtime.targets.locks import TargetLocks
from headrace.flows.runtime.targets.publication import Publication, run_publication
from headrace.flows.runtime.targets.published import PublishedBefore
from headrace.flows.runtime.targets.tables import (
    loaded_rows,
    log_discarded,
    log_kept_out,
    log_sent_again,
    log_unanswered,
    prepare_tables,
)
from headrace.flows.runtime.transform.rejected_cells import RowOrigins
from headrace.flows.runtime.transform.row_counts import AccountingError, RowCounts

COMPARES = ": compare keys"
"""What the last part of a target that notices deletes is called, behind its name."""

API_ROWS = 5_000
"""The most rows of a batch that is sent to an API: the ledger, and the run's progress, follow batch by batch."""


@dataclass(frozen=True, slots=True)
class RunTotals:
    """Rows of a whole run. rows_in = rows_out + failed + skipped, unless rows go several ways or others are made."""

    rows_in: int
    rows_out: int
    failed: int
    skipped: int


class Execution:
    """One run in this process: shared by its partitions are the error budget and the wish to stop."""

    def __init__(
        self,
        prepared: Prepared,
        recorder: RunRecorder,
        locks: TargetLocks | None = None,
        *,
        under_way: bool = False,
        tidies: bool = True,
    ) -> None:
        """`locks` are those of the run's tables, where another run could be about. `under_way`: another process began
        the run and has its locks; this one only runs some of its partitions and publications. `tidies`: drops what
        earlier runs have left."""
        # polars imports numpy when it first meets an array, and fails when two threads do so at the same time
        pl.Series(np.zeros(0, dtype=np.int64))
        self.prepared, self.recorder, self._locks, self._tidies = prepared, recorder, locks, tidies
        handling = prepared.ir.error_handling
        self._budget = ErrorBudget(handling.max_error_rows, None if under_way else handling.max_error_rate)
        self._stop = threading.Event()
        self._hooks = Hooks(prepared, recorder)
        self._exchange = Exchange(prepared)
        self.row_origins = RowOrigins(prepared, self._exchange.parents)
        self._audits = DatasetChecks(prepared, recorder)
        self._before = PublishedBefore(prepared)
        self.cut: set[str] = set()
        """The source nodes of which `maxRows` or `maxSeconds` ended a partition."""

    def begin(self) -> None:
        """Once, before the first partition."""
        for source in self.prepared.sources.values():
            if source.note is not None:
                self.recorder.log("extract", source.note)
        for stage in self.prepared.plan.stages:
            if stage.source is not None:
                count = len(stage.partitions)
                about = "" if stage.counted else "about "
                many = f"{about}{stage.rows:,} rows in {count} partition{'' if count == 1 else 's'}"
                self.recorder.log("extract", f"{stage.source.id}: {many}")
        for note in self.prepared.plan.notes:
            self.recorder.log("transform", note)
        self._prepare_databases()
        self._hooks.before()
        prepare_tables(self.prepared, self.recorder)
        check_loaded_rows(self.prepared, self.recorder)
        for mode in self.prepared.modes.values():
            mode.begin()
        self._exchange.begin()
        if self.prepared.job.continues.starts_over:
            self._forget()
        self._announce()
        if self._tidies:
            self._tidy()

    def _prepare_databases(self) -> None:
        """Creates the engine's tables in the databases of connectors."""
        for database in self.prepared.job.databases.all:
            if not isinstance(database, str):
                prepare_database(database)

    def _announce(self) -> None:
        """The publications after the partitions; the run's progress is measured against all of its work."""
        for load in self.prepared.plan.loads:
            compared = 1 if load.target.id in self.prepared.comparisons else 0
            for index in range(self._mode(load).publications() + compared):
                self.recorder.progress(-1 - load.number, index, "pending", Resume())

    def join(self) -> None:
        """Instead of `begin`, in a process that runs partitions of a run under way. Raises TargetError."""
        for mode in self.prepared.modes.values():
            mode.begin()  # finds what is there already, and learns what it has to know of it

    def evaluate(self, failed: int, seen: int) -> None:
        """Reports the failed and read rows of all partitions so far, if they run in other processes. Raises RunFailed
        when a limit is exceeded."""
        self._budget.record(("all",), failed, seen)

    def _forget(self) -> None:
        """Deletes the errors of earlier attempts of the chain: they committed nothing, and all errors are found
        again."""
        job = self.prepared.job
        kept = {table for stage in self.prepared.plan.stages for table in stage.quarantine.values()}
        for database in job.databases.all:
            with connect(database, autocommit=True) as connection:
                since = 0 if job.epoch is None else job.epoch.first_row
                delete_run_rows(connection, job.root_run_id, sorted(kept), since=since)
        self.recorder.forget()

    def _tidy(self) -> None:
        """Drops the temporary tables of runs that will not be retried; a run never fails because of errors here."""
        job = self.prepared.job
        databases = job.databases
        for database in distinct([databases.by_target[target] for target in self.prepared.modes]):
            try:
                with connect(database, autocommit=True) as connection:
                    mine = () if self._locks is None else self._locks.alone(database)
                    dropped = drop_abandoned_tables(connection, run_id=job.run_id, root_run_id=job.load_key, mine=mine)
            except (psycopg.Error, TargetError) as error:
                text = f"Tables that earlier runs left could not be dropped: {first_line(error)}"
                self.recorder.log("run", text, level="warning")
                continue
            if dropped:
                self.recorder.log("run", f"Dropped what earlier runs left: {', '.join(dropped)}")

    def partition(self, stage: Stage, index: int) -> Resume:
        """Runs one partition, from its committed progress."""
        if (done := self._before.resume(stage, index)) is not None:
            self.recorder.progress(stage.index, index, "completed", done)
            return done
        with explain_memory_errors():
            if stage.passed is not None:
                try:
                    return run_partition(self._work(passing(stage), index))
                except NotPassed as why:
                    note = f"Partition {index + 1}: from here on values are read, because {why}"
                    self.recorder.log("load", note)
            return run_partition(self._work(replace(stage, passed=None), index))

    def _work(self, stage: Stage, index: int) -> Work:
        return Work(
            stage=stage,
            partition=stage.partitions[index],
            feed=self._feed(stage, index),
            loaders={sink.id: self._loader(sink, index) for sink in stage.sinks},
            recorder=self.recorder,
            budget=self._budget,
            stop=self._stop,
            row_origins=self.row_origins,
            originals=self._originals(stage, index),
            published=frozenset(name for name, mode in self.prepared.modes.items() if mode.publications()),
        )

    def _feed(self, stage: Stage, index: int) -> PartitionInput:
        prepared = self.prepared
        batch_rows = None if prepared.job.continues.replays else prepared.execution.batch_rows
        if any(load.target.connector is not None for load in stage.loads):
            batch_rows = min(batch_rows or API_ROWS, API_ROWS)
        if stage.source is None:
            return self._exchange.feed(stage, index, batch_rows)
        node = stage.source.id
        execution = prepared.execution
        most = execution.rows_of(prepared.discoveries[node])
        limits = ReadLimits(most, execution.max_seconds, lambda: self.cut.add(node))
        if (extracted := self._exchange.extracted(stage, index, batch_rows, limits)) is not None:
            return extracted
        restart = Restart.EXACT if prepared.job.continues.replays else prepared.discoveries[node].restart
        return SourceInput(
            prepared.sources[node],
            stage,
            stage.partitions[index],
            batch_rows,
            restart,
            limits,
        )

    def _originals(self, stage: Stage, index: int) -> Originals:
        """Failed rows are stored if the source could return other rows the next time; a replay's are stored already."""
        job = self.prepared.job
        if stage.source is None or job.continues.replays:
            return NO_ORIGINALS
        if self.prepared.discoveries[stage.source.id].restart is Restart.EXACT:
            return NO_ORIGINALS
        base = 0 if job.epoch is None else job.epoch.base
        return Originals(job.databases.home, job.root_run_id, stage.source.id, base + index)

    def _loader(self, sink: Sink, index: int) -> PartitionLoader:
        if isinstance(sink, Load):
            return self._mode(sink).loader(sink.stage, index, sink.root)
        if isinstance(sink, Audit):
            return self._audits.loader(sink, index)
        return self._exchange.loader(sink, index)

    def publications(self) -> list[tuple[Load, int, str]]:
        """The publications after the last partition: the target whose load mode held rows back, the index of the
        publication, and ` [1/8]` for display. They are independent of each other. Dataset rules and hooks are evaluated
        first: raises RunFailed, HookFailed, TargetError."""
        self._audits.evaluate(self._rows)
        self._hooks.staged()
        found: list[tuple[Load, int, str]] = []
        for load in self.prepared.plan.loads:
            many = self._mode(load).publications()
            found += [(load, index, f" [{index + 1}/{many}]") for index in range(many)]
        return found

    def comparisons(self) -> list[tuple[Load, int, str]]:
        """What is to be done behind the last publication, as `publications`: the targets whose keys are compared with
        those of their source, which is counted behind the publications of the target."""
        loads = [load for load in self.prepared.plan.loads if load.target.id in self.prepared.comparisons]
        return [(load, self._mode(load).publications(), COMPARES) for load in loads]

    def publication(self, load: Load, index: int) -> Resume:
        """Publishes held back rows, or compares keys, once, whoever asks how often. Raises TargetError when another run
        has the table."""
        self.check_lock(load)
        comparison = self.prepared.comparisons.get(load.target.id)
        if comparison is not None and index == self._mode(load).publications():
            load_key = self.prepared.load_key_of(self._mode(load))
            with explain_memory_errors():
                return comparison.run(load_key, index, self.recorder, self._stop)
        self._rows(self.prepared.plan.stages[load.stage])
        with explain_memory_errors():
            stage = self.prepared.plan.stages[load.stage]
            work = Publication(load, index, self._mode(load), self.recorder, self._budget, stage, self.row_origins)
            return run_publication(work)

    def _rows(self, stage: Stage) -> int:
        """The rows of a stage that is done; those of a shuffle stage are looked up once."""
        if (known := self.prepared.gathered.get(stage.index)) is None:
            return stage.rows
        if stage.source is not None and (before := self._before.rows(stage)) is not None:
            return before
        if stage.source is not None:
            known |= self._rows_done(stage)
        else:
            known |= {p.index: self._exchange.rows(stage, p.index) for p in stage.partitions if p.index not in known}
        return sum(known.values())

    def _rows_done(self, stage: Stage) -> dict[int, int]:
        """The number of rows that each partition of a source has read, which was not known before. Raises TargetError
        (`staging_lost`) if the ledger does not have all partitions as complete: a crash of the server empties the
        unlogged ledger of staged rows, and their number is not stored elsewhere."""
        job, sink = self.prepared.job, stage.sinks[0]
        keys = [job.load_key, self.prepared.load_key, *map(self.prepared.load_key_of, self.prepared.modes.values())]
        databases = job.databases
        with connect(databases.by_target.get(sink.id, databases.home), autocommit=True) as connection:
            found = rows_done(connection, [*dict.fromkeys(keys)], sink.id, stage.index)
        if len(found) < len(stage.partitions):
            raise TargetError(
                "staging_lost",
                f"Of {len(stage.partitions)} partitions of {stage.name} only {len(found)} are still staged: PostgreSQL "
                "crashed meanwhile, and no table was changed.",
                "Retry the run: it reads what is missing again.",
            )
        return found

    def check_lock(self, load: Load) -> None:
        """Raises TargetError when another run has the table."""
        database = self.prepared.job.database_of(load.target.id)
        if self._locks is not None and not self._locks.held(database, load.target.table):
            raise TargetError(
                "target_taken",
                f"The database forgot the lock on {load.target.table}, and another run has it now.",
                "What is staged is kept; a retry publishes it.",
            )

    def _mode(self, load: Load) -> LoadMode:
        return self.prepared.modes[load.target.id]

    def stop(self) -> None:
        """Ends every partition between two batches, and stops waiting for responses of providers."""
        self._stop.set()
        self.prepared.providers.stopped.set()

    def finish(self, results: Iterable[Resume]) -> RunTotals:
        """Once, after the last publication: proves the books, removes what was only needed on the way, and runs the
        hooks that are left. Raises AccountingError, HookFailed."""
        done = list(results)
        totals = RunTotals(
            rows_in=sum(result.rows_done for result in done),
            rows_out=sum(result.rows_loaded for result in done),
            failed=sum(result.rows_failed for result in done),
            skipped=sum(result.rows_skipped for result in done),
        )
        plan = self.prepared.plan
        if plan.balanced and totals.rows_in != totals.rows_out + totals.failed + totals.skipped:
            raise AccountingError(f"The books do not balance: {totals}")
        if plan.counted and totals.rows_in != self.prepared.total_rows:
            raise AccountingError(f"{self.prepared.total_rows:,} rows were planned, {totals.rows_in:,} were read")
        counted = RowCounts()
        for result in done:
            counted = counted.plus(RowCounts.of(result.counters, result.counters))
        for node, counters in counted.nodes.items():
            if (
                node not in plan.rebuilt
                and counters["rowsIn"] != counters["rowsOut"] + counters["failed"] + counters["skipped"]
            ):
                raise AccountingError(f"The books of node '{node}' do not balance: {counters}")
        for mode in self.prepared.modes.values():
            mode.finish()  # not earlier: staged rows are needed to analyse counts that do not balance
        tables = ", ".join(load.target.table for load in plan.loads) or "nothing to load"
        self.recorder.log(
            "load",
            f"{tables}: {totals.rows_out:,} rows loaded, {totals.failed:,} failed, {totals.skipped:,} skipped "
            f"of {totals.rows_in:,}",
        )
        log_discarded(self.prepared, self.recorder, counted)
        log_kept_out(self.prepared, self.recorder, counted)
        log_sent_again(self.prepared, self.recorder, counted)
        log_unanswered(self.prepared, self.recorder, counted)
        self._hooks.after(loaded_rows(self.prepared, counted))
        self._exchange.finish()
        finish_copies(self.prepared.sources)
        prepared = self.prepared
        acknowledge_cursors(prepared.job, prepared.ir, prepared.sources, lambda text: self.recorder.log("run", text))
        return totals
