"""A streaming run under Prefect: one flow run that loops epochs, until another one is to follow it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import Any

from headrace.catalog.runs.store import RunStore
from headrace.catalog.runs.streams import Wishes
from headrace.flows.prefect.lock_waits import cancel_lock_wait
from headrace.flows.prefect.run_recorder import RunLogger
from headrace.flows.prefect.run_reporter import RunReporter
from headrace.flows.prefect.stream_page import StreamPage
from headrace.flows.resume.epoch import Epoch
from headrace.flows.runtime.execute import RunTotals
from headrace.flows.runtime.execution_config import ExecutionConfig
from headrace.flows.runtime.job import Job, Prepared
from headrace.flows.runtime.run_recorder import RunRecorder
from headrace.flows.runtime.stored_plan import stored_plan
from headrace.flows.runtime.streaming.lag import describe, worst
from headrace.flows.runtime.streaming.stream import EPOCHS_APART_S, Stream
from headrace.flows.runtime.targets.locks import TargetLocks

_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _GROWTH = 1.0, 5.0, 1.3
"""Between two looks without news."""
_WISHES_S = 1.0
_LAG_S = 2.0
_SHOWN_S = 10.0
_PAGE_S = 30.0
_LOGGED_S = 300.0
_MOST_BASE = 1 << 22
"""Row numbers have room for twice as many partitions."""


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """How a stream ended by itself: its counts, and whether another run is to follow it."""

    totals: RunTotals
    followed: bool
    reason: str
    shows: Callable[[str | None], Awaitable[None]]
    """Stores the page of the stream for the last time, with the id of the run that follows."""


@dataclass(slots=True)
class StreamRun:
    """One streaming run in this process."""

    store: RunStore
    job: Job
    recorder: RunRecorder
    reporter: RunReporter
    logger: RunLogger
    locks: TargetLocks
    _config: ExecutionConfig = field(init=False)
    _stream: Stream = field(init=False)
    _wanted: Wishes | None = field(init=False)
    _began: float = field(init=False, default_factory=monotonic)
    _begins: bool = field(init=False, default=True)
    _due: dict[str, float] = field(init=False, default_factory=dict)
    _lagging: bool = field(init=False, default=False)
    _rows: int = field(init=False, default=0)
    _paused_in_prefect: bool = field(init=False, default=False)
    _page: StreamPage = field(init=False)
    _tagged: bool | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._config = ExecutionConfig.of(self.job.pipeline.execution_config)
        lags = self.store.streams.last_lags(self.job.pipeline.id)
        self._stream = Stream(self.job, self.recorder, self._planned, self.locks, lags=lags)
        self._wanted = self._wishes()
        before, pipeline = self.store.streams.before(self.job.run_id), self.job.pipeline
        began = datetime.now(UTC)
        self._page = StreamPage(pipeline.name, self.job.run_id, self.reporter.api_url, began, self._config, before)

    async def run(self) -> StreamEnd:
        """Loops epochs. Raises what an epoch raises; when it is cancelled, it stops between two batches."""
        with ThreadPoolExecutor(1, thread_name_prefix="stream") as pool:
            reporting = asyncio.create_task(self._report())
            try:
                reason, followed = await self._loop(pool)
            except BaseException:
                self._stream.stop()
                cancel_lock_wait(self.job)  # the thread ends only when it has the locks or gives up
                raise
            finally:
                reporting.cancel()
                await asyncio.wait({reporting})
                pool.submit(self._stream.close)
        self.recorder.log("run", reason)
        return StreamEnd(await asyncio.to_thread(self._totals), followed, reason, partial(self._show_end, reason))

    async def _loop(self, pool: ThreadPoolExecutor) -> tuple[str, bool]:
        loop, pause = asyncio.get_running_loop(), _FIRST_PAUSE_S
        while True:
            began = monotonic()
            done = await loop.run_in_executor(pool, self._stream.step)
            self._rows += 0 if done is None else done.totals.rows_in
            if self._is_due("wishes", _WISHES_S):
                ended = await loop.run_in_executor(pool, self._ending)
                if ended is not None:
                    return ended
            if done is not None and done.totals.rows_in:
                pause = _FIRST_PAUSE_S
                await asyncio.sleep(max(0.0, began + EPOCHS_APART_S - monotonic()) if done.complete else 0.0)
            else:
                await asyncio.sleep(pause)
                pause = min(pause * _GROWTH, _LONGEST_PAUSE_S)

    def _ending(self) -> tuple[str, bool] | None:
        """Why the run ends now, and whether another one follows; None: it goes on."""
        now = self._wishes()
        if now is None:
            return "ends: the pipeline is gone", False
        if self._paused_in_prefect:
            return "ends: the deployment is paused in Prefect", False
        if now.paused:
            return "ends: the pipeline is paused", False
        config = ExecutionConfig.of(now.execution_config)
        if config.mode != "streaming":
            return f"ends: executionConfig.mode is {config.mode} now", False
        before = self._wanted
        if before is None or now.live_version != before.live_version:
            return f"is followed by a run of IR version {now.live_version}", True
        if now.execution_config != before.execution_config:
            return "is followed by a run with the new executionConfig", True
        if now.waiting is not None:
            return f"is followed by another run, after {now.waiting}, which waits for this one", True
        if monotonic() - self._began >= self._config.rollover_seconds or self._stream.epoch.base >= _MOST_BASE:
            return f"is followed by another run after {self._config.rollover_seconds:,} s (rolloverSeconds)", True
        return None

    def _wishes(self) -> Wishes | None:
        return self.store.streams.wishes(self.job.pipeline.id, self.job.run_id)

    def _planned(self, prepared: Prepared, epoch: Epoch) -> None:
        """Stores the plan of an epoch, before its first row is loaded."""
        self.store.streams.epoch(
            self.job.run_id,
            base=epoch.base,
            rows=prepared.total_rows,
            fingerprint=prepared.fingerprints,
            plan=stored_plan(prepared),
            partitions=[(s.index, epoch.base + p.index, p.rows) for s in prepared.plan.stages for p in s.partitions],
            begins=self._begins,
            counted_by=self._forerunner() if self._begins else None,
        )
        if self._begins:
            self.reporter.planned(prepared)
        self._begins = False

    def _forerunner(self) -> str | None:
        """The run of the chain whose stream this one goes on with."""
        return next((each for each in self.store.attempts(self.job.root_run_id) if each != self.job.run_id), None)

    async def _report(self) -> None:
        """Says from time to time how far the stream is: in the catalog, in Prefect and in the log."""
        while True:
            await asyncio.sleep(_LAG_S)
            now, lags = datetime.now(UTC), dict(self._stream.lags)
            try:
                await asyncio.to_thread(self.store.streams.looked, self.job.run_id, lags)
            except Exception as error:  # noqa: BLE001 (an epoch finds out by itself whether the catalog is gone)
                self.logger.debug("How far the stream is could not be stored: %r", error)
            self._watch(lags, now)
            text = f"{self._rows:,} rows, {describe(lags, now) or 'looking at its sources'}"
            turned = self._tagged is not self._lagging
            if turned:
                self._tagged = self._lagging
                await self.reporter.stream_tags(lagging=self._lagging)
            if self._is_due("page", _PAGE_S) or turned:
                page = self._page
                await self.reporter.stream_page(page.markdown(lags, self._rows, now), page.heading(lags, now))
            if self._is_due("shown", _SHOWN_S):
                self._paused_in_prefect = await self.reporter.paused()
                share = 100 * (monotonic() - self._began) / self._config.rollover_seconds
                await self.reporter.stream_progress(share, text)
            if self._is_due("logged", _LOGGED_S):
                self.logger.info("%s", text)

    async def _show_end(self, reason: str, after: str | None) -> None:
        now, lags = datetime.now(UTC), dict(self._stream.lags)
        text = self._page.markdown(lags, self._rows, now, ended=reason, after=after)
        await self.reporter.stream_page(text, self._page.heading(lags, now))

    def _watch(self, lags: Mapping[str, Any], now: datetime) -> None:
        """Emits an event once when the stream is too far behind, and not again before it has caught up."""
        most, seconds = self._config.max_lag_seconds, worst(lags, now)
        if most is None or seconds is None:
            return
        if seconds <= most:
            if self._lagging:
                self.recorder.log("run", f"has caught up: {describe(lags, now)}")
            self._lagging = False
        elif not self._lagging:
            self._lagging = True
            text = f"is more than {most:,} s behind (maxLagSeconds): {describe(lags, now)}"
            self.recorder.log("run", text, level="warning")
            sources = {node: {"rows": lag.rows, "seconds": lag.seconds(now)} for node, lag in lags.items()}
            self.reporter.lagging({"seconds": round(seconds, 1), "maxLagSeconds": most, "sources": sources})

    def _is_due(self, what: str, every: float) -> bool:
        now = monotonic()
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + every
        return True

    def _totals(self) -> RunTotals:
        """Those of all epochs, earlier attempts of the run included."""
        run = self.store.snapshot(self.job.run_id)
        if run is None:
            return RunTotals(0, 0, 0, 0)
        return RunTotals(run.rows_in, run.rows_out, run.failed_rows, run.skipped_rows)


async def run_stream(
    store: RunStore,
    job: Job,
    recorder: RunRecorder,
    reporter: RunReporter,
    logger: RunLogger,
    locks: TargetLocks,
) -> StreamEnd:
    """Runs the epochs of a job until the run is followed by another, or is not wanted any more."""
    make = partial(StreamRun, store, job, recorder, reporter, logger, locks)
    return await (await asyncio.to_thread(make)).run()
