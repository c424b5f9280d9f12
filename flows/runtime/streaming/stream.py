"""A streaming run: epochs one after the other, each a micro-batch from the cursors to the ends that there are now.

Who calls `step`, how often, and until when is up to the caller. The plan of the newest epoch is stored before its first
row is loaded, so that whoever continues the run finishes that epoch as any other run is continued, and goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic

import psycopg

from headrace.catalog.runs.records import SourceLag
from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.connections import connect
from headrace.connectors.postgresql.ledger.epochs import forget_epochs, forget_other_epochs
from headrace.connectors.postgresql.tables.describe import first_line
from headrace.connectors.source import Discovery, Source
from headrace.flows.resume.epoch import Epoch
from headrace.flows.resume.restage import drop_refused_rows
from headrace.flows.runtime.cursors import begin_at_cursors
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.execution_config import ExecutionConfig
from headrace.flows.runtime.input.inspection import open_sources
from headrace.flows.runtime.input.sources import parsed
from headrace.flows.runtime.job import Job, Prepared, close_sources
from headrace.flows.runtime.partition import Stopped
from headrace.flows.runtime.prepare import Looked, prepare
from headrace.flows.runtime.run_recorder import RunRecorder
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import keep_copies
from headrace.flows.runtime.streaming.lag import Lags
from headrace.flows.runtime.streaming.recorder import EpochRecorder
from headrace.flows.runtime.targets.locks import TargetLocks
from headrace.ir import PipelineIR

EPOCHS_APART_S = 0.5
"""Epochs are to begin at least so long after one another, so that each has a few rows more and the machine is not busy
with beginning them."""
_FORGOTTEN_AT_ONCE = 25
"""So many finished epochs are removed from the ledger at a time."""
_TIDY_S = 600.0

Planned = Callable[[Prepared, Epoch], None]
"""Stores the plan of an epoch; called before its first row is loaded."""


def streams(job: Job) -> bool:
    """Whether a `Stream` runs the job: in the mode `streaming`, or to continue an unfinished epoch."""
    if job.continues.replays:
        return False
    if job.continues.earlier_plan is not None:
        return job.epoch is not None
    return ExecutionConfig.of(job.pipeline.execution_config).mode == "streaming"


@dataclass(frozen=True, slots=True)
class StepResult:
    """What an epoch did. `complete`: it read all that was there when it began."""

    totals: RunTotals
    complete: bool


class Stream:
    """The epochs of one run in this process. Not thread-safe, except for `stop`."""

    def __init__(
        self,
        job: Job,
        recorder: RunRecorder,
        planned: Planned,
        locks: TargetLocks | None = None,
        *,
        lags: Lags | None = None,
    ) -> None:
        """`lags` are those with which the run before ended."""
        continues = job.continues
        self._job = replace(job, continues=replace(continues, epoch=continues.epoch or Epoch()))
        self._recorder, self._planned, self._locks = recorder, planned, locks
        self._config = ExecutionConfig.of(job.pipeline.execution_config)
        self._open: tuple[PipelineIR, dict[str, Source]] | None = None
        self._execution: Execution | None = None
        self._stopped = threading.Event()
        self._seen: set[str] = set()
        self._begun, self._finished = False, list[str]()
        self._tidied = float("-inf")
        self.lags: dict[str, SourceLag] = dict(lags or {})

    @property
    def epoch(self) -> Epoch:
        """The one that is under way, or comes next."""
        assert self._job.epoch is not None
        return self._job.epoch

    def step(self) -> StepResult | None:
        """Looks at the sources, and loads what is new in an epoch; None without news. Raises what a run raises, and
        Stopped. After an error the stream can only be closed."""
        at, continued = datetime.now(UTC), self._job.continues.earlier_plan is not None
        looked = self._look()
        found = looked.discoveries
        if not continued and not any(each.partitions for each in found.values()):
            self.lags = {node: SourceLag(0, at) for node in found}
            return None
        self.lags = {
            node: replace(self.lags.get(node, SourceLag()), rows=each.total_rows) for node, each in found.items()
        }
        execution = self._plan(looked)
        totals = run_in_threads(execution, closes=False)
        if not continued:  # what it continued may have been there for long
            for node in found.keys() - execution.cut:
                self.lags[node] = replace(self.lags[node], up_to=at)
        self._next(execution.prepared)
        return StepResult(totals, not execution.cut)

    def stop(self) -> None:
        """Lets the epoch end between two batches: its `step` raises Stopped."""
        self._stopped.set()
        if (running := self._execution) is not None:
            running.stop()

    def close(self) -> None:
        """Lets go of what the sources hold."""
        if self._open is not None:
            close_sources(self._open[1])
            self._open = None

    def _look(self) -> Looked:
        if self._open is None:
            ir = parsed(self._job)
            self._open = ir, open_sources(self._job, ir)
        ir, sources = self._open
        begin_at_cursors(self._job, ir, sources)
        if (earlier := self._job.continues.plan) is not None:
            keep_copies(sources, earlier)
        found: Mapping[str, Discovery] = {
            node: source.discover(max_partitions=self._config.partitions) for node, source in sources.items()
        }
        return Looked(ir, sources, found)

    def _plan(self, looked: Looked) -> Execution:
        prepared = prepare(self._job, looked=looked)
        recorder = EpochRecorder(self._recorder, self.epoch.base, self._seen)
        drop_refused_rows(self._job, recorder)
        self._planned(prepared, self.epoch)
        self._forget_finished()
        tidies = monotonic() - self._tidied >= _TIDY_S
        if tidies:
            self._tidied = monotonic()
        self._execution = Execution(prepared, recorder, self._locks, tidies=tidies)
        if self._stopped.is_set():
            raise Stopped("The stream was stopped")
        return self._execution

    def _next(self, prepared: Prepared) -> None:
        many = [len(stage.partitions) for stage in prepared.plan.stages]
        many += [mode.publications() for mode in prepared.modes.values()]
        self._finished.append(self._job.load_key)
        # The rest of what the run took over was settled by the first epoch.
        after = replace(
            self._job.continues,
            epoch=self.epoch.after(max(many)),
            earlier_plan=None,
            retry_of=None,
            aborted=False,
            visible=(),
            committed=0,
        )
        self._job = replace(self._job, continues=after)
        self._execution = None

    def _forget_finished(self) -> None:
        """Removes finished epochs from the ledgers: only now, when the plan of the one after them is stored."""
        if self._begun and len(self._finished) < _FORGOTTEN_AT_ONCE:
            return
        try:
            for database in self._job.databases.all:
                with connect(database, autocommit=True) as connection:
                    if self._begun:
                        forget_epochs(connection, self._finished)
                    else:
                        kept = self._job.load_key if self._job.continues.earlier_plan is not None else ""
                        forget_other_epochs(connection, self._job.root_run_id, kept)
        except (psycopg.Error, TargetError) as error:
            text = first_line(error) if isinstance(error, psycopg.Error) else str(error)
            self._recorder.log("run", f"Finished epochs could not be removed from the ledger: {text}", level="warning")
            return
        self._begun = True
        self._finished.clear()
