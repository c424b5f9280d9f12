"""Runs partitions on a Dask or Ray cluster through Prefect's task runners. The run's process submits ids and waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from time import monotonic
from typing import Any, cast

import psycopg
from prefect import State, Task
from prefect.task_runners import TaskRunner
from prefect.utilities.callables import get_call_parameters

from headrace.catalog.runs.store import RunStore
from headrace.catalog.settings import Settings, settings
from headrace.connectors.target import Resume
from headrace.flows.prefect.cluster.backends import BACKENDS, Backend
from headrace.flows.prefect.cluster.liveness import LOOK_S, Heartbeat
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.execute import Execution

_log = logging.getLogger(__name__)

_FIRST_LOOK_S, _LOOK_S = 0.02, 0.2
_LOST_WORKERS = 3
"""A partition fails after its worker died this many times, because it may be the cause."""

_ENDING_S = 60.0

Work = Task[..., Any]


class Cluster:
    """The cluster of one run."""

    def __init__(
        self, backend: Backend, runner: TaskRunner[Any], heartbeat: Heartbeat, execution: Execution, store: RunStore
    ) -> None:
        self._backend, self._runner, self._heartbeat = backend, runner, heartbeat
        self._execution, self._store = execution, store
        self._failure: Exception | None = None

    async def run(self, work: Work, run_id: str, number: int, index: int, *, publishes: bool) -> State[Resume]:
        """Runs one task and returns its final state. When its worker dies, the task is submitted again and continues
        after its ledger row. Raises RunFailed when that happens too often or the run's limits are exceeded."""
        if publishes:  # only this process holds the table locks
            await asyncio.to_thread(self._execution.check_lock, self._execution.prepared.plan.loads[number])
        parameters = get_call_parameters(work.fn, (run_id, number, index, self._heartbeat.token), {})
        for lost in range(1, _LOST_WORKERS + 1):
            future = await asyncio.to_thread(self._runner.submit, work, parameters)
            handle = future.wrapped_future
            try:
                await self._until_done(handle)
            except BaseException:
                self._backend.cancel(handle)
                raise
            try:
                state = await asyncio.to_thread(self._backend.state, handle)
            except ModuleNotFoundError as error:
                raise RunFailed(
                    f"A worker of the cluster cannot import {error.name}: "
                    "install the same version of Headrace on all of them"
                ) from error
            except Exception as error:  # each engine has its own errors for a lost worker
                if lost == _LOST_WORKERS:
                    raise RunFailed(
                        f"The cluster lost {work.name} [{index + 1}] {lost} times, the last time because of "
                        f"{type(error).__name__}: {error}. What is committed stays; a retry continues after it."
                    ) from error
                lost_with = f"{type(error).__name__}: {error}"
                again = f"The cluster lost {work.name} [{index + 1}] ({lost_with}); again"
                self._execution.recorder.log("run", again, level="warning")
                continue
            if state.is_completed():
                # The worker has recorded it in the catalog; events and progress are recorded here.
                stage = -1 - number if publishes else number
                self._execution.recorder.progress(stage, index, "completed", await state.aresult())
                await asyncio.to_thread(self._evaluate)
            if not state.is_crashed() or lost == _LOST_WORKERS:
                return state
        raise AssertionError("the last attempt returns or raises")

    async def watch(self) -> None:
        """Keeps the liveness lock, and checks the run's limits over the rows of all workers."""
        while True:
            with suppress(psycopg.OperationalError):  # server restart: the next beat takes the lock again
                await asyncio.to_thread(self._heartbeat.beat)
            try:
                await asyncio.to_thread(self._evaluate)
            except RunFailed as error:
                self._failure = error
                return
            except Exception as error:  # noqa: BLE001 (checked again soon, and with every result)
                _log.warning("The limits of failed rows could not be checked: %r", error)
            await asyncio.sleep(LOOK_S)

    def _evaluate(self) -> None:
        self._execution.evaluate(*self._store.counts.totals(self._execution.prepared.job.run_id))

    async def end(self) -> None:
        """Stops the workers and waits up to `_ENDING_S` seconds until none of them writes."""
        await asyncio.to_thread(self._heartbeat.stop)
        until = monotonic() + _ENDING_S
        while monotonic() < until:
            with suppress(psycopg.Error):
                if await asyncio.to_thread(self._heartbeat.workers_idle):
                    return
            await asyncio.sleep(_LOOK_S)
        self._execution.recorder.log("run", f"Workers of the cluster were still busy after {_ENDING_S:.0f} s")

    async def _until_done(self, handle: Any) -> None:
        pause = _FIRST_LOOK_S
        while not await asyncio.to_thread(self._backend.done, handle):
            if self._failure is not None:
                raise self._failure
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LOOK_S)


@asynccontextmanager
async def cluster_of(execution: Execution, store: RunStore) -> AsyncIterator[Cluster | None]:
    """Connects to the cluster of `HEADRACE_TASK_RUNNER`; None for threads. Raises RunFailed when it is unreachable."""
    chosen = settings()
    if chosen.task_runner == "threads":
        yield None
        return

    backend = BACKENDS[chosen.task_runner]()
    with ExitStack() as started:
        runner = await asyncio.to_thread(_start, started, backend, chosen)
        heartbeat = Heartbeat(chosen.for_runs)
        await asyncio.to_thread(heartbeat.beat)
        cluster = Cluster(backend, runner, heartbeat, execution, store)
        watching = asyncio.create_task(cluster.watch())
        try:
            yield cluster
        except BaseException:
            watching.cancel()
            await cluster.end()
            raise
        finally:
            watching.cancel()
            await asyncio.wait({watching})
            await asyncio.to_thread(heartbeat.stop)


def _start(stack: ExitStack, backend: Backend, chosen: Settings) -> TaskRunner[Any]:
    runner = backend.runner(chosen)
    try:
        stack.enter_context(runner)
        backend.connect(runner)
    except Exception as error:
        address = cast("str", getattr(chosen, f"{chosen.task_runner}_address")) or "of its own"
        raise RunFailed(
            f"The {chosen.task_runner.capitalize()} cluster {address} cannot be reached: {error}"
        ) from error
    return runner
