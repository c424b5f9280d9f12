"""The worker type `headrace`: Prefect's worker, with runs forked from a fork server and started on Prefect's events.

Registered through the entry-point group `prefect.collections` for `prefect worker start --type headrace --pool ...`;
`headrace worker` starts it too.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import anyio
import anyio.abc
import httpx
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.runner._flow_run_executor import FlowRunExecutionResult, FlowRunExecutorContext
from prefect.runner._process_manager import ProcessHandle
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY, PREFECT_API_URL, PREFECT_HOME
from prefect.states import Cancelled, Failed
from prefect.workers.base import BaseVariables, BaseWorker, BaseWorkerResult

from headrace.deployments.prefect.api import PrefectApi
from headrace.deployments.prefect.crash_reasons import CrashExplainer
from headrace.deployments.stack.layout import RUN_FOLDERS
from headrace.deployments.worker.due_runs import RoundRobin, due_runs_to_start
from headrace.deployments.worker.fork_client import ForkClient, ForkServerLost
from headrace.deployments.worker.job import HeadraceJobConfiguration
from headrace.deployments.worker.starters import BOARD_FILE, NoHooks, starter

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import WorkerFlowRunResponse

_REQUEST_SECONDS = 5.0
_RECONNECT_SECONDS = 2.0
_REPORT_SECONDS = 10.0
_POLL_SECONDS = 0.05
_MOST_AT_ONCE = 200
"""The most runs that Prefect returns at once."""
_POLL_WITH_EVENTS_SECONDS = 5.0
"""The polling interval while events arrive. Prefect returns scheduled runs ten seconds before they are due."""
_AWAITED_EVENTS = (
    "Scheduled",
    "AwaitingRetry",
    "Completed",
    "Failed",
    "Crashed",
    "Cancelled",
    "TimedOut",
)


class HeadraceWorkerResult(BaseWorkerResult):
    """How a run's process ended."""


class HeadraceWorker(BaseWorker[HeadraceJobConfiguration, BaseVariables, HeadraceWorkerResult]):
    """Starts each run in its own process, forked from one that has everything imported.

    Falls back to a new `python -m prefect.engine` where forking is not safe.
    """

    type = "headrace"
    job_configuration = HeadraceJobConfiguration
    job_configuration_variables = BaseVariables
    _display_name = "Headrace"
    _description = "Runs Headrace pipelines in forked, isolated processes that start in a fraction of a second."

    def __init__(self, work_pool_name: str, *args: Any, fork_client: ForkClient | None = None, **kwargs: Any) -> None:
        """Like Prefect's worker; `fork_client` is given when its fork server was started already."""
        super().__init__(work_pool_name, *args, **kwargs)
        self._fork_client = fork_client or ForkClient()
        self._attending: set[asyncio.Task[None]] = set()
        self._news: asyncio.Event | None = None
        self._asking: anyio.Lock | None = None
        self._running = 0
        self._away = False
        self._notified, self._asked_at = False, 0.0
        self._turns = RoundRobin()

    async def __aenter__(self) -> HeadraceWorker:
        self._asking = anyio.Lock()
        await self._fork_client.__aenter__()
        try:
            await self._wait_for_prefect()
            await super().__aenter__()
        except BaseException:
            await self._fork_client.__aexit__(None, None, None)
            raise
        self._news = asyncio.Event()
        self._attending = {asyncio.create_task(self._listen()), asyncio.create_task(self._look())}
        return self

    async def __aexit__(self, *exc: Any) -> None:
        try:
            with anyio.CancelScope(shield=True):
                for task in self._attending:
                    task.cancel()
                if self._attending:
                    await asyncio.wait(self._attending)
                await self._fork_client.__aexit__(*exc)
                with anyio.move_on_after(_REPORT_SECONDS):
                    # The processes have ended; Prefect is still being informed.
                    while self._running:  # noqa: ASYNC110
                        await anyio.sleep(_POLL_SECONDS)
        finally:
            await super().__aexit__(*exc)

    async def ready(self) -> None:
        """Waits until runs can start: everything is imported and the work pool is known. Raises ZygoteLost.

        May be called before the worker is started.
        """
        # Attributes of Prefect's, without an event to wait for.
        while not self.is_setup:  # noqa: ASYNC110
            await anyio.sleep(_POLL_SECONDS)
        threads = await self._fork_client.ready()
        if threads:
            self._logger.warning(
                "Runs start as new interpreters, which is slower: a fork would lose the threads %s", threads
            )
        while not self._has_successfully_synced:  # noqa: ASYNC110
            await anyio.sleep(_POLL_SECONDS)

    async def run(
        self,
        flow_run: FlowRun,
        configuration: HeadraceJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> HeadraceWorkerResult:
        """Executes one flow run; returns when its process has ended, also when it was cancelled or crashed.

        A run that `admission` refuses fails, and nothing of it is executed.
        """
        status: anyio.abc.TaskStatus[Any] = anyio.TASK_STATUS_IGNORED if task_status is None else task_status
        if configuration.refusal_reason:
            await self._refuse(flow_run, configuration.refusal_reason)
            status.started(PermissionError(configuration.refusal_reason))  # there is no process to cancel
            return HeadraceWorkerResult(status_code=0, identifier="refused")
        self._running += 1
        self._turns.served(flow_run.work_queue_id)
        if configuration.only_waits:
            self._release_limit_slot(flow_run.id)  # or the runs that it waits for would find no place
        try:
            return await self._run(flow_run, configuration, status)
        finally:
            self._running -= 1

    async def _run(
        self, flow_run: FlowRun, configuration: HeadraceJobConfiguration, status: anyio.abc.TaskStatus[int]
    ) -> HeadraceWorkerResult:
        execution: FlowRunExecutionResult | None = None
        folders = PREFECT_HOME.value() / RUN_FOLDERS
        folders.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folders, prefix="run-", ignore_cleanup_errors=True) as folder:
            async with FlowRunExecutorContext() as context:
                executor = context.create_executor(
                    flow_run,
                    await starter(self._fork_client, configuration, Path(folder), context.control_channel),
                    hook_runner=NoHooks(),
                    propose_submitting=False,
                )
                board = Path(folder) / BOARD_FILE
                executor._state_proposer = CrashExplainer(executor._state_proposer, board)  # type: ignore[assignment]

                async def execute(
                    *, task_status: anyio.abc.TaskStatus[ProcessHandle] = anyio.TASK_STATUS_IGNORED
                ) -> None:
                    nonlocal execution
                    execution = await executor.submit(task_status=task_status)

                async with anyio.create_task_group() as group:
                    handle = await group.start(execute)
                    status.started(handle.pid)
        if execution is None or execution.status_code is None:
            raise ForkServerLost("the run's process did not start")
        if execution.status_code != 0:
            await self._finish_cancelling(flow_run)
        return HeadraceWorkerResult(status_code=execution.status_code, identifier=str(execution.handle.pid))

    async def _refuse(self, flow_run: FlowRun, refusal_reason: str) -> None:
        reason = f"Refused: the pool '{self._work_pool_name}' does not execute this run: {refusal_reason}."
        self._logger.warning("Run %s: %s", flow_run.id, reason)
        self.get_flow_run_logger(flow_run).error(reason)
        # Not forced: only an orchestrated change releases the concurrency slot.
        await self.client.set_flow_run_state(flow_run.id, Failed(message=reason))

    async def _finish_cancelling(self, flow_run: FlowRun) -> None:
        """Sets a run to Cancelled when its process ended while it was Cancelling.

        Prefect's engine refuses to start such a run and exits without ending it: it would stay Cancelling forever and
        keep its pipeline's only concurrency slot.
        """
        try:
            now = await self.client.read_flow_run(flow_run.id)
            if now.state is not None and now.state.is_cancelling():
                # Not forced: only an orchestrated change releases the pipeline's concurrency slot.
                await self.client.set_flow_run_state(now.id, Cancelled(message="Cancelled while it started."))
        except (httpx.HTTPError, TimeoutError) as error:
            self._log_unreachable(error)

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Polls for due runs and starts them; less often while events arrive, since at each poll Prefect writes a row
        for every deployment of the pool."""
        if self._notified and time.monotonic() - self._asked_at < _POLL_WITH_EVENTS_SECONDS:
            return []
        return await self._ask()

    async def _ask(self) -> list[FlowRun]:
        """Polls once. An unreachable Prefect is logged, not raised."""
        assert self._asking is not None
        async with self._asking:
            self._asked_at = time.monotonic()
            try:
                found = await super().get_and_submit_flow_runs()
            except (httpx.HTTPError, TimeoutError) as error:
                self._log_unreachable(error)
                return []
        if self._away and self._has_successfully_synced:
            self._away = False
            self._logger.info("Prefect answers again")
        return found

    async def sync_with_backend(self) -> None:
        """Sends the heartbeat. An unreachable Prefect must not end the worker and its runs."""
        try:
            await super().sync_with_backend()
        except (httpx.HTTPError, TimeoutError) as error:
            self._log_unreachable(error)

    async def _propose_submitting_state(self, flow_run: FlowRun) -> None:
        """Does nothing: the run is Running shortly after, and another state costs the server as much time."""

    async def _give_worker_labels_to_flow_run(self, flow_run_id: UUID) -> None:
        """Sets the labels in the background: the run does not need them to start."""
        assert self._runs_task_group is not None
        self._runs_task_group.start_soon(self._label, flow_run_id)

    async def _label(self, flow_run_id: UUID) -> None:
        try:
            with anyio.move_on_after(_REQUEST_SECONDS):
                await super()._give_worker_labels_to_flow_run(flow_run_id)
        except Exception as error:  # noqa: BLE001 (an exception here would end the worker and all its runs)
            self._logger.debug("Run %s was not labelled: %r", flow_run_id, error)

    def _release_limit_slot(self, flow_run_id: UUID) -> None:
        """Releases the slot and polls again: the event of the run's end came while it still had its slot."""
        super()._release_limit_slot(flow_run_id)
        if self._limiter is not None:
            self._asked_at = 0.0
            self._hears()

    def _hears(self) -> None:
        if self._news is not None:
            self._news.set()

    async def _get_scheduled_flow_runs(self) -> list[WorkerFlowRunResponse]:
        # Prefect's client would retry for more than a minute; the next poll is sooner.
        with anyio.fail_after(_REQUEST_SECONDS):
            found = await super()._get_scheduled_flow_runs()
            if len(found) >= _MOST_AT_ONCE:  # only those of the first queues
                found += await self._of_other_queues({each.work_queue_id for each in found})
        return self._turns.in_turn(await due_runs_to_start(self.client, found))

    async def _of_other_queues(self, besides: set[UUID]) -> list[WorkerFlowRunResponse]:
        queues = await self.client.read_work_queues(work_pool_name=self._work_pool_name)
        names = [queue.name for queue in queues if queue.id not in besides]
        if not names:
            return []
        before = datetime.now(UTC) + timedelta(seconds=int(self._prefetch_seconds))
        return await self.client.get_scheduled_flow_runs_for_work_pool(
            work_pool_name=self._work_pool_name, work_queue_names=names, scheduled_before=before
        )

    async def _wait_for_prefect(self) -> None:
        """Waits for Prefect: a failed first heartbeat would be repeated only after half a minute. Raises NotLetIn."""
        url = PREFECT_API_URL.value()
        if not url:
            return
        prefect = PrefectApi(url, PREFECT_API_AUTH_STRING.value(), PREFECT_API_KEY.value())
        async with httpx.AsyncClient(timeout=_REQUEST_SECONDS, headers=prefect.headers) as client:
            while True:
                with suppress(httpx.HTTPError):
                    if (await client.get(f"{url}/ready")).is_success:
                        prefect.let_in(await client.get(f"{url}/admin/version"))
                        return
                await anyio.sleep(0.1)

    async def _listen(self) -> None:
        """Subscribes to the events of scheduled runs and of ended ones, for which others may wait. Polling finds what
        this misses."""
        wanted = EventFilter(event=EventNameFilter(name=[f"prefect.flow-run.{state}" for state in _AWAITED_EVENTS]))
        while True:
            with suppress(Exception):  # polling continues, and this tries again
                async with get_events_subscriber(filter=wanted, reconnection_attempts=0) as events:
                    self._notified = True
                    self._hears()  # for runs scheduled before the subscription
                    async for _event in events:
                        self._hears()
            self._notified = False
            await anyio.sleep(_RECONNECT_SECONDS)

    async def _look(self) -> None:
        """Polls for due runs after events: once for all that came during the previous poll."""
        assert self._news is not None
        while True:
            await self._news.wait()
            self._news.clear()
            with suppress(Exception):  # as above
                await self._ask()

    def _log_unreachable(self, error: Exception) -> None:
        if not self._away:
            self._away = True
            self._logger.warning("Prefect does not answer (%r); runs continue, and the worker keeps trying", error)
