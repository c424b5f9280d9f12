"""Reports a run to Prefect (name, log lines, events, progress, report) and to OpenLineage.

A run never fails because of it and waits at most seconds: what is not accepted in time is dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from prefect import get_client
from prefect.client.schemas.objects import FlowRun
from sqlalchemy import Engine

from headrace.catalog.runs.records import SUCCESSFUL, RunSnapshot, RunStatus
from headrace.catalog.runs.snapshot import first_errors
from headrace.catalog.runs.store import RunStore
from headrace.catalog.settings import settings
from headrace.flows.lineage.openlineage.emitter import LineageEmitter
from headrace.flows.prefect.artifacts import MAX_ERRORS, RunArtifacts
from headrace.flows.prefect.events import RunEvents
from headrace.flows.prefect.names import LAGGING, STREAMING, is_random, run_name
from headrace.flows.prefect.report import console_url, outcome, seconds_of
from headrace.flows.prefect.run_recorder import PrefectRecorder, RunLogger
from headrace.flows.prefect.tags import set_tags
from headrace.flows.runtime.job import Job, Prepared
from headrace.flows.runtime.streaming.stream import streams

PROGRESS_S = 2.0
"""The progress artifact is sent at most this often."""
_ALMOST = 99.9
_PATIENCE_S = 10.0
_STOPPING_S = 3.0


class RunReporter:
    """Reports one run to Prefect, from when its pipeline is known."""

    def __init__(self, flow_run: FlowRun, job: Job, *, store: RunStore, engine: Engine, api_url: str) -> None:
        self._flow_run, self._job, self._store, self._engine = flow_run, job, store, engine
        pipeline, self.api_url = job.pipeline, api_url
        self._events = RunEvents(flow_run, pipeline.id, pipeline.name, pipeline.tenant_id)
        self._artifacts = RunArtifacts(pipeline, api_url)
        self._errors_url = f"{console_url(api_url)}/runs/{job.run_id}/errors"
        self._last_share = 0.0
        self._reported = ""
        self._lags = LAGGING in flow_run.tags  # of an attempt that died
        self._lineage: LineageEmitter | None = None

    def without_secrets(self, reason: str) -> str:
        """The reason with secrets removed."""
        return self._job.without_secrets(reason)

    def recorder(self, logger: RunLogger) -> PrefectRecorder:
        """The recorder of the run. A streaming run has too many partitions for an event of each."""
        job = self._job
        events = None if streams(job) else self._events
        return PrefectRecorder(self._store, job.run_id, job.root_run_id, logger=logger, events=events)

    async def begins(self, logger: RunLogger) -> None:
        """Logs and emits the start of the run; names it unless a user did."""
        job, pipeline = self._job, self._job.pipeline
        goes_on = f", a retry of {job.continues.retry_of}" if job.continues.retry_of else ""
        logger.info("%s (%s), IR version %d%s", pipeline.name, pipeline.id, pipeline.ir_version, goes_on)
        self._events.run("started", {"irVersion": pipeline.ir_version, "retryOf": job.continues.retry_of})

        def warn(text: str) -> None:
            self._store.log(job.run_id, "run", text, level="warning")
            logger.warning("%s", text)

        self._lineage = LineageEmitter(job, settings(), warn)
        self._lineage.begins()
        if is_random(self._flow_run.name):
            name = await asyncio.to_thread(self._name)
            with suppress(Exception):  # naming must not fail the run
                async with asyncio.timeout(_PATIENCE_S), get_client() as client:
                    await client.set_flow_run_name(self._flow_run.id, name)
                self._flow_run.name = name

    def planned(self, prepared: Prepared) -> None:
        """Tells OpenLineage what a streaming run reads and writes; its first epoch is enough."""
        if self._lineage is not None:
            self._lineage.planned(prepared)

    async def stream_progress(self, percent: float, description: str) -> None:
        """Sets the progress artifact of a streaming run: `percent` of the time until it is followed by another."""
        with suppress(Exception):  # the next one may succeed
            async with asyncio.timeout(_PATIENCE_S):
                self._last_share = max(self._last_share, min(_ALMOST, round(percent, 1)))
                await self._artifacts.progress(self._last_share, f"{self._job.pipeline.name}: {description}")

    async def stream_page(self, markdown: str, description: str) -> None:
        """Sets the page of a streaming run, which says how far behind it is."""
        with suppress(Exception):  # the next one may succeed
            async with asyncio.timeout(_PATIENCE_S):
                await self._artifacts.stream(markdown, description)

    async def stream_tags(self, *, lagging: bool) -> None:
        """Tags the run as one that streams, and whether it is too far behind."""
        self._lags = self._lags or lagging  # until Prefect has been told otherwise
        with suppress(Exception):  # a tag must not fail the run
            async with asyncio.timeout(_PATIENCE_S), get_client() as client:
                await set_tags(client, self._flow_run, {STREAMING: True, LAGGING: lagging})
            self._lags = LAGGING in self._flow_run.tags

    async def follows_nothing(self) -> None:
        """Removes the tag of a streaming run that is too far behind, which has ended, however it did."""
        if self._lags:
            await self.stream_tags(lagging=False)

    async def paused(self) -> bool:
        """Whether the run's deployment is paused; False where Prefect does not say."""
        with suppress(Exception):
            async with asyncio.timeout(_PATIENCE_S), get_client() as client:
                if self._flow_run.deployment_id is not None:
                    return (await client.read_deployment(self._flow_run.deployment_id)).paused
        return False

    def lagging(self, payload: Mapping[str, Any]) -> None:
        """Emits `headrace.run.lagging`."""
        self._events.run("lagging", payload)

    @asynccontextmanager
    async def progress(self, prepared: Prepared, logger: RunLogger) -> AsyncIterator[None]:
        """Updates the progress artifact inside the block, from the event loop and not from a partition's thread."""
        if self._lineage is not None:
            self._lineage.planned(prepared)
        partitions = sum(len(stage.partitions) for stage in prepared.plan.stages)
        modes = ", ".join(sorted({load.target.load_mode for load in prepared.plan.loads}))
        parallel = prepared.execution.parallelism
        many = f"{partitions} partition{'' if partitions == 1 else 's'}"
        logger.info("%s: %s rows in %s, up to %d at a time", modes, f"{prepared.total_rows:,}", many, parallel)
        ticking = asyncio.create_task(self._tick())
        try:
            yield
        finally:
            ticking.cancel()
            await asyncio.wait({ticking})

    async def reports(self, status: RunStatus, logger: RunLogger, *, missed: str = "") -> datetime | None:
        """Stores the report of a run before it ends with `status`, so that it exists when the end is observed. `missed`
        is the note for a run whose files did not arrive. Returns the end time in the report."""
        run = await asyncio.to_thread(self._store.snapshot, self._job.run_id)
        if run is None:
            return None
        await self._store_report(replace(run, status=status, finished_at=run.observed_at), logger, missed)
        self._reported = status
        return run.observed_at

    async def ended(self, status: str, logger: RunLogger, *, code: str | None = None, missed: str = "") -> None:
        """Reports the end of a run that is recorded in the catalog: last log lines, artifacts, event. `missed` is the
        note for a run whose files did not arrive."""
        await self.follows_nothing()
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
            logger.warning("%s rows failed; every one of them: %s", f"{run.failed_rows:,}", self._errors_url)
        try:
            if self._reported != status:
                await self._store_report(run, logger, missed)
        finally:  # also when the run is stopped; last, so that the report exists when the event is received
            payload = _payload(run, code)
            self._events.run(status, payload)
            if missed or code == "file_not_found":
                self._events.run("missed_file", payload)
        if self._lineage is not None:
            await self._lineage.delivered()

    async def _store_report(self, run: RunSnapshot, logger: RunLogger, missed: str) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                errors = await asyncio.to_thread(first_errors, self._engine, run.id, MAX_ERRORS)
                done = 100.0 if run.status in SUCCESSFUL else await self._percent()
                await self._artifacts.end(run, errors, done, missed)
        except Exception as error:  # noqa: BLE001 (the rows are loaded: a missing report must not fail the run)
            logger.warning("The run's report could not be stored in Prefect: %r", error)

    async def report_interruption(self, status: str, logger: RunLogger) -> None:
        """Like `ended`, for a run that was stopped, with a time limit of `_STOPPING_S` seconds."""
        try:
            async with asyncio.timeout(_STOPPING_S):
                await self.ended(status, logger)
        except Exception as error:  # noqa: BLE001 (the reason for the stop matters more)
            logger.warning("Prefect did not get the run's final state: %r", error)

    def _name(self) -> str:
        original = self._job.continues.retry_of
        retried = self._store.snapshot(original) if original is not None else None
        at = self._flow_run.expected_start_time or self._flow_run.created or datetime.now(UTC)
        return run_name(self._job.pipeline.name, at, retry_of=None if retried is None else retried.created_at)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_S)
            with suppress(Exception):  # the next update may succeed
                async with asyncio.timeout(_PATIENCE_S):
                    await self._artifacts.progress(await self._percent(), f"{self._job.pipeline.name}: running")

    async def _percent(self) -> float:
        """The progress in percent, at most 99.9: 100 is for a run that completed."""
        share = await asyncio.to_thread(self._store.share_done, self._job.run_id)
        # Prefect's timeline shows one decimal. Progress does not decrease when work is repeated.
        self._last_share = max(self._last_share, min(_ALMOST, round(100.0 * share, 1)))
        return self._last_share


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
