"""The worker type `headrace`: Prefect's worker with runs forked off a zygote, and told of new runs at once.

Registered with Prefect through the entry-point group `prefect.collections`, so that
`prefect worker start --type headrace --pool ...` finds it; `headrace worker` starts it too.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import anyio
import anyio.abc
import httpx
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.flows import load_flow_from_flow_run
from prefect.runner._flow_run_executor import FlowRunExecutionResult, FlowRunExecutorContext
from prefect.runner._process_manager import ProcessHandle, create_isolated_termination_scope
from prefect.runner._starter_engine import EngineCommandStarter
from prefect.settings import PREFECT_API_URL, PREFECT_HOME
from prefect.states import Cancelled
from prefect.workers.base import BaseVariables, BaseWorker, BaseWorkerResult

from deployments.worker.certificates import CERTIFICATES, FEW
from deployments.worker.folders import RUN_FOLDERS
from deployments.worker.job import HeadraceJobConfiguration
from deployments.worker.nursery import Nursery, ZygoteLost
from flows.state_names import COMPLETED_WITH_ERRORS

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import WorkerFlowRunResponse
    from prefect.runner._control_channel import ControlChannel

_ASK_SECONDS = 5.0
_RECONNECT_SECONDS = 2.0
_REPORT_SECONDS = 10.0
_GLANCE_SECONDS = 0.05
_TOLD_SECONDS = 5.0
"""Runs that a schedule has made are given out ten seconds before they are due."""
_TELLING = (
    "Scheduled",
    "AwaitingRetry",
    "Completed",
    COMPLETED_WITH_ERRORS,
    "Failed",
    "Crashed",
    "Cancelled",
    "TimedOut",
)


class HeadraceWorkerResult(BaseWorkerResult):
    """How a run's process ended."""


class HeadraceWorker(BaseWorker[HeadraceJobConfiguration, BaseVariables, HeadraceWorkerResult]):
    """Starts each run in a process of its own, forked off one that has everything imported.

    Falls back to a cold `python -m prefect.engine` where forking would not be safe, and where a job's `command` is set.
    """

    type = "headrace"
    job_configuration = HeadraceJobConfiguration
    job_configuration_variables = BaseVariables
    _display_name = "Headrace"
    _description = "Runs Headrace pipelines in forked, isolated processes that start in a fraction of a second."

    def __init__(self, work_pool_name: str, *args: Any, nursery: Nursery | None = None, **kwargs: Any) -> None:
        """As Prefect's; `nursery` is one whose zygote was spawned already."""
        super().__init__(work_pool_name, *args, **kwargs)
        self._nursery = nursery or Nursery()
        self._attending: set[asyncio.Task[None]] = set()
        self._news: asyncio.Event | None = None
        self._asking: anyio.Lock | None = None
        self._running = 0
        self._away = False
        self._told, self._asked_at = False, 0.0

    async def __aenter__(self) -> HeadraceWorker:
        self._asking = anyio.Lock()
        await self._nursery.__aenter__()
        try:
            await self._prefect_answers()
            await super().__aenter__()
        except BaseException:
            await self._nursery.__aexit__(None, None, None)
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
                await self._nursery.__aexit__(*exc)
                with anyio.move_on_after(_REPORT_SECONDS):
                    # Their processes have ended; what is left is telling Prefect.
                    while self._running:  # noqa: ASYNC110
                        await anyio.sleep(_GLANCE_SECONDS)
        finally:
            await super().__aexit__(*exc)

    async def ready(self) -> None:
        """Waits until runs can start at once: everything imported and the work pool known. Raises ZygoteLost.

        May be called before the worker is started.
        """
        # Prefect's own attributes, which no event goes with.
        while not self.is_setup:  # noqa: ASYNC110
            await anyio.sleep(_GLANCE_SECONDS)
        threads = await self._nursery.ready()
        if threads:
            self._logger.warning(
                "Runs start as new interpreters, which takes longer: %s would not survive a fork", threads
            )
        while not self._has_successfully_synced:  # noqa: ASYNC110
            await anyio.sleep(_GLANCE_SECONDS)

    async def run(
        self,
        flow_run: FlowRun,
        configuration: HeadraceJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> HeadraceWorkerResult:
        """Executes one flow run; returns when its process has ended, cancelled and crashed ones included."""
        status = anyio.TASK_STATUS_IGNORED if task_status is None else task_status
        self._running += 1
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
                    await self._starter(configuration, Path(folder), context.control_channel),
                    resolve_flow=load_flow_from_flow_run,
                    propose_submitting=False,
                )

                async def execute(
                    *, task_status: anyio.abc.TaskStatus[ProcessHandle] = anyio.TASK_STATUS_IGNORED
                ) -> None:
                    nonlocal execution
                    execution = await executor.submit(task_status=task_status)

                async with anyio.create_task_group() as group:
                    handle = await group.start(execute)
                    status.started(handle.pid)
        if execution is None or execution.status_code is None:
            raise ZygoteLost("the run's process did not start")
        if execution.status_code != 0:
            await self._end_cancelling(flow_run)
        return HeadraceWorkerResult(status_code=execution.status_code, identifier=str(execution.handle.pid))

    async def _end_cancelling(self, flow_run: FlowRun) -> None:
        """A process that ended while its run was being cancelled has cancelled it, however it ended.

        Prefect's engine refuses to begin such a run and exits, and nobody else would end it: it stood for ever and kept
        its pipeline's only slot.
        """
        try:
            now = await self.client.read_flow_run(flow_run.id)
            if now.state is not None and now.state.is_cancelling():
                # Not forced: only an orchestrated change gives the pipeline's concurrency slot back.
                await self.client.set_flow_run_state(now.id, Cancelled(message="Cancelled while it started."))
        except (httpx.HTTPError, TimeoutError) as error:
            self._note_away(error)

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Asks for due runs and starts them, and does not ask again soon while it is told of new ones: at each question
        Prefect writes a line about every deployment of the pool."""
        if self._told and time.monotonic() - self._asked_at < _TOLD_SECONDS:
            return []
        return await self._ask()

    async def _ask(self) -> list[FlowRun]:
        """Prefect being away is not an error: the next time may work."""
        assert self._asking is not None
        async with self._asking:
            self._asked_at = time.monotonic()
            try:
                found = await super().get_and_submit_flow_runs()
            except (httpx.HTTPError, TimeoutError) as error:
                self._note_away(error)
                return []
        if self._away and self._has_successfully_synced:
            self._away = False
            self._logger.info("Prefect answers again")
        return found

    async def sync_with_backend(self) -> None:
        """Sends the heartbeat. As above: an unreachable Prefect must not end the worker and its runs."""
        try:
            await super().sync_with_backend()
        except (httpx.HTTPError, TimeoutError) as error:
            self._note_away(error)

    async def _propose_submitting_state(self, flow_run: FlowRun) -> None:
        """Nothing: the run is Running before anybody has read that it is being submitted, and Prefect's server takes
        as long for one state as for the other."""

    async def _give_worker_labels_to_flow_run(self, flow_run_id: UUID) -> None:
        """While the run starts: it needs none of them."""
        assert self._runs_task_group is not None
        self._runs_task_group.start_soon(self._label, flow_run_id)

    async def _label(self, flow_run_id: UUID) -> None:
        try:
            with anyio.move_on_after(_ASK_SECONDS):
                await super()._give_worker_labels_to_flow_run(flow_run_id)
        except Exception as error:  # noqa: BLE001 (raised here, it would end the worker and all its runs)
            self._logger.debug("Run %s has no labels: %r", flow_run_id, error)

    def _release_limit_slot(self, flow_run_id: UUID) -> None:
        """As Prefect's. That the run has ended was told while it still had its slot."""
        super()._release_limit_slot(flow_run_id)
        if self._limiter is not None:
            self._asked_at = 0.0
            self._hears()

    def _hears(self) -> None:
        if self._news is not None:
            self._news.set()

    async def _get_scheduled_flow_runs(self) -> list[WorkerFlowRunResponse]:
        # Prefect's client would retry for a minute and more; asking anew is as good and sooner.
        with anyio.fail_after(_ASK_SECONDS):
            return await super()._get_scheduled_flow_runs()

    async def _prefect_answers(self) -> None:
        """Waits for Prefect: the first heartbeat makes the pool known, and the next would be half a minute away."""
        url = PREFECT_API_URL.value()
        async with httpx.AsyncClient(timeout=_ASK_SECONDS) as client:
            while url:
                with suppress(httpx.HTTPError):
                    if (await client.get(f"{url}/ready")).is_success:
                        return
                await anyio.sleep(0.1)

    async def _listen(self) -> None:
        """Hears of runs that were scheduled, and of those that have ended, for which another may have waited; polling
        catches what this misses."""
        wanted = EventFilter(event=EventNameFilter(name=[f"prefect.flow-run.{state}" for state in _TELLING]))
        while True:
            with suppress(Exception):  # whatever it was: polling goes on, and this tries again
                async with get_events_subscriber(filter=wanted, reconnection_attempts=0) as events:
                    self._told = True
                    self._hears()  # what was scheduled until now, nobody has told
                    async for _event in events:
                        self._hears()
            self._told = False
            await anyio.sleep(_RECONNECT_SECONDS)

    async def _look(self) -> None:
        """Asks for due runs when there is news: once, however many events came while it asked."""
        assert self._news is not None
        while True:
            await self._news.wait()
            self._news.clear()
            with suppress(Exception):  # as above
                await self._ask()

    async def _starter(
        self, configuration: HeadraceJobConfiguration, folder: Path, channel: ControlChannel
    ) -> _ForkStarter | EngineCommandStarter:
        base = configuration._base_environment()
        if configuration.command == configuration._base_flow_run_command():
            configuration.command = None
        if configuration.command is not None or await self._nursery.ready():
            return EngineCommandStarter(
                command=configuration.command,
                cwd=folder,
                env=configuration.env,
                stream_output=True,
                control_channel=channel,
                isolate_process_group=True,
            )
        # The child has the settings already; only what this job changes is worth another look at them.
        changed: dict[str, str | None] = {k: v for k, v in configuration.env.items() if base.get(k) != v}
        if "PREFECT_API_URL" in changed and str(configuration.env.get(CERTIFICATES)).endswith(FEW):
            changed[CERTIFICATES] = None  # the worker's API has no TLS, this one may have it
        return _ForkStarter(self._nursery, {**changed, **configuration.importable}, folder, channel)

    def _note_away(self, error: Exception) -> None:
        if not self._away:
            self._away = True
            self._logger.warning("Prefect does not answer (%r); running runs go on, and I keep asking", error)


class _ForkStarter:
    """Prefect's process-starting strategy, by fork: `start` announces the process and returns when it has ended."""

    def __init__(
        self, nursery: Nursery, environment: dict[str, str | None], folder: Path, channel: ControlChannel
    ) -> None:
        self._nursery, self._environment, self._folder, self._channel = nursery, environment, folder, channel

    async def start(
        self, flow_run: FlowRun, task_status: anyio.abc.TaskStatus[ProcessHandle] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        environment = {
            **self._environment,
            "PREFECT__FLOW_RUN_ID": str(flow_run.id),
            "PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS": "false",  # the executor runs them
        }
        with suppress(RuntimeError):  # no channel: a cancelled run is then just killed
            port, token = self._channel.register(flow_run.id)
            environment |= {"PREFECT__CONTROL_PORT": str(port), "PREFECT__CONTROL_TOKEN": token}
        try:
            process = await self._nursery.fork(environment, self._folder)
        except BaseException:
            self._channel.unregister(flow_run.id)
            raise
        # What Prefect asks of a process is `pid` and `returncode`.
        handle = ProcessHandle(
            process,  # type: ignore[arg-type]
            termination_scope=create_isolated_termination_scope(process.pid),
        )
        task_status.started(handle)
        await process.wait()
