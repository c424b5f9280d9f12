"""What people with Prefect's UI are told of a run while it goes: its name, lines, events, progress and report; and who
listens to OpenLineage when it begins and ends.

A run never fails and hardly waits because of it: whatever they do not take in time is given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from prefect import get_client
from prefect.client.schemas.objects import FlowRun
from sqlalchemy import Engine

from catalog.run_errors import first_errors
from catalog.run_records import RunSnapshot
from catalog.runs import RunStore
from catalog.settings import settings
from flows.compile import Stage
from flows.lineage.openlineage.telling import LineageTelling
from flows.prefect.artifacts import MAX_ERRORS, RunArtifacts
from flows.prefect.events import RunEvents
from flows.prefect.journal import PrefectJournal, RunLogger
from flows.report import outcome, seconds_of
from flows.run_names import is_random, run_name
from flows.runtime.job import Job, Prepared

PROGRESS_S = 2.0
"""The progress artifact is sent at most this often."""
_PATIENCE_S = 10.0
_STOPPING_S = 3.0


class RunTelling:
    """One run's voice in Prefect, from when its pipeline is known."""

    def __init__(self, flow_run: FlowRun, job: Job, *, store: RunStore, engine: Engine, api_url: str) -> None:
        self._flow_run, self._job, self._store, self._engine = flow_run, job, store, engine
        pipeline = job.pipeline
        self._events = RunEvents(flow_run, pipeline.id, pipeline.name, pipeline.tenant_id)
        self._artifacts = RunArtifacts(pipeline, api_url)
        self._errors_url = f"{api_url}/pipelines/{pipeline.id}/runs/{job.run_id}/errors"
        self._total = 0
        self._stages: Sequence[Stage] = ()
        self._journal: PrefectJournal | None = None
        self._lineage: LineageTelling | None = None

    def journal(self, logger: RunLogger) -> PrefectJournal:
        """The run's journal; its counts are the progress."""
        job = self._job
        self._journal = PrefectJournal(self._store, job.run_id, job.root_run_id, logger=logger, events=self._events)
        return self._journal

    async def begins(self, logger: RunLogger) -> None:
        """Names the run, unless somebody did, and says what is about to happen."""
        job, pipeline = self._job, self._job.pipeline
        goes_on = f", a retry of {job.continues.retry_of}" if job.continues.retry_of else ""
        logger.info("%s (%s), IR version %d%s", pipeline.name, pipeline.id, pipeline.ir_version, goes_on)
        self._events.run("started", {"irVersion": pipeline.ir_version, "retryOf": job.continues.retry_of})

        def warn(text: str) -> None:
            self._store.log(job.run_id, "run", text)
            logger.warning("%s", text)

        self._lineage = LineageTelling(job, settings(), warn)
        self._lineage.begins()
        if is_random(self._flow_run.name):
            name = await asyncio.to_thread(self._name)
            with suppress(Exception):  # a run without a good name runs all the same
                async with asyncio.timeout(_PATIENCE_S), get_client() as client:
                    await client.set_flow_run_name(self._flow_run.id, name)
                self._flow_run.name = name

    @asynccontextmanager
    async def progress(self, prepared: Prepared, logger: RunLogger) -> AsyncIterator[None]:
        """Shows how far the run is for as long as it is open, from the event loop and never a partition's thread."""
        if self._lineage is not None:
            self._lineage.planned(prepared)
        self._total = prepared.total_rows
        self._stages = prepared.plan.stages
        partitions = sum(len(stage.partitions) for stage in prepared.plan.stages)
        modes = ", ".join(sorted({load.target.load_mode for load in prepared.plan.loads}))
        parallel = prepared.execution.parallelism
        many = f"{partitions} partition{'' if partitions == 1 else 's'}"
        logger.info("%s: %s rows in %s, up to %d at a time", modes, f"{self._total:,}", many, parallel)
        ticking = asyncio.create_task(self._tick())
        try:
            yield
        finally:
            ticking.cancel()
            await asyncio.wait({ticking})

    async def ended(self, status: str, logger: RunLogger, *, code: str | None = None, missed: str = "") -> None:
        """The run has ended, and the catalog knows: the last lines, the artifacts, the event. `missed` is said of a run
        whose files did not come."""
        run = await asyncio.to_thread(self._store.snapshot, self._job.run_id)
        if run is None:
            return
        if self._lineage is not None:
            self._lineage.ends(status, run)
        if run.rows_in:
            seconds = seconds_of(run) or 0.0
            rate = f", {run.rows_in / seconds:,.0f} rows/s" if seconds > 0 and run.retry_of is None else ""
            logger.info("%s: %s rows in %.1f s%s", outcome(run), f"{run.rows_in:,}", seconds, rate)
        if run.failed_rows:
            logger.warning("%s rows failed; every one of them: GET %s", f"{run.failed_rows:,}", self._errors_url)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                errors = await asyncio.to_thread(first_errors, self._engine, run.id, MAX_ERRORS)
                await self._artifacts.end(run, errors, 100.0 if status == "completed" else self._percent(), missed)
        except Exception as error:  # noqa: BLE001 (the run has ended; its report is for people)
            logger.warning("The run's report could not be stored in Prefect: %r", error)
        finally:  # also when whoever stops the run waits no longer; last, so that whom it wakes finds the report
            payload = _payload(run, code)
            self._events.run(status, payload)
            if missed or code == "file_not_found":
                self._events.run("missed_file", payload)
        if self._lineage is not None:
            await self._lineage.told()

    async def broken_off(self, status: str, logger: RunLogger) -> None:
        """As `ended`, for a run that was told to stop: whoever told it does not wait for long."""
        try:
            async with asyncio.timeout(_STOPPING_S):
                await self.ended(status, logger)
        except Exception as error:  # noqa: BLE001 (why the run was broken off matters more)
            logger.warning("Prefect was not told how the run ended: %r", error)

    def _name(self) -> str:
        original = self._job.continues.retry_of
        retried = self._store.snapshot(original) if original is not None else None
        at = self._flow_run.expected_start_time or self._flow_run.created or datetime.now(UTC)
        return run_name(self._job.pipeline.name, at, retry_of=None if retried is None else retried.created_at)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_S)
            with suppress(Exception):  # the next one may get through
                async with asyncio.timeout(_PATIENCE_S):
                    await self._artifacts.progress(self._percent(), f"{self._job.pipeline.name}: running")

    def _percent(self) -> float:
        """Rows that are read, and partitions of the stages behind them; each stage counts alike."""
        if self._journal is None or not self._total:
            return 0.0
        done = min(1.0, self._journal.rows_read / self._total)
        gathering = {stage.index: len(stage.partitions) for stage in self._stages if stage.source is None}
        if gathering:
            reading = len(self._stages) - len(gathering)
            behind = self._journal.ended(gathering) / sum(gathering.values())
            done = (done * reading + behind * len(gathering)) / len(self._stages)
        # Prefect's timeline shows one decimal; rows that are only published are read already.
        return round(100.0 * done, 1)


def _payload(run: RunSnapshot, code: str | None) -> dict[str, Any]:
    return {
        "status": run.status,
        "code": code,
        "irVersion": run.ir_version,
        "rowsIn": run.rows_in,
        "rowsOut": run.rows_out,
        "failedRows": run.failed_rows,
        "skippedRows": run.skipped_rows,
        "totalRows": run.total_rows,
        "durationMs": round((seconds_of(run) or 0.0) * 1000),
        "failureReason": run.failure_reason,
        "retryOf": run.retry_of,
    }
