"""A run in a worker process of a cluster. The worker plans the run again, once for all its partitions, from what the
run's own process stored. Only ids are sent, so neither rows nor credentials pass through the cluster's scheduler."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import replace

from pydantic import ValidationError

from headrace.catalog.runs.store import RunStore
from headrace.catalog.settings import Settings, settings
from headrace.connectors.files.arrival.inbox import ClaimedFiles, HasInbox
from headrace.connectors.target import Resume
from headrace.flows.prefect.blocks import with_blocks
from headrace.flows.prefect.cluster.liveness import HeartbeatWatch
from headrace.flows.prefect.database_retries import retrying_engine
from headrace.flows.run_job import stored_job
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.execute import Execution
from headrace.flows.runtime.input.sources import held_before, parsed, source_of
from headrace.flows.runtime.job import Job, Prepared
from headrace.flows.runtime.partition import Stopped
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.run_recorder import CatalogRecorder
from headrace.ir.nodes import SourceNode

_log = logging.getLogger(__name__)


class JoinedRun:
    """A run of which this process runs some partitions. `execution` has no locks and no hooks: the run's process has
    them."""

    def __init__(self, execution: Execution, watch: HeartbeatWatch) -> None:
        self.execution, self._watch = execution, watch

    async def threaded(self, work: Callable[[], Resume]) -> Resume:
        """Runs a partition or a publication in a thread."""
        return await asyncio.to_thread(self._watched, work)

    def _watched(self, work: Callable[[], Resume]) -> Resume:
        with self._watch:
            return work()


_joined_runs: dict[int, JoinedRun] = {}
_joining: dict[int, threading.Lock] = {}


async def join_run(run_id: str, token: int) -> JoinedRun:
    """The run, which is planned with its first partition in this process. `token` is the token of its Heartbeat.

    Raises the errors of planning, and Stopped when the run has ended.
    """
    return await asyncio.to_thread(_join, run_id, token)


def _join(run_id: str, token: int) -> JoinedRun:
    with _joining.setdefault(token, threading.Lock()):
        if (there := _joined_runs.get(token)) is not None:
            return there
        chosen = _settings()

        def over() -> None:
            if (there := _joined_runs.pop(token, None)) is not None:
                there.execution.stop()
            _joining.pop(token, None)
            engine.dispose()

        watch = HeartbeatWatch(chosen.for_runs, token, over)
        engine = retrying_engine(chosen.for_runs, None, _log.warning)
        if not watch.begin():
            engine.dispose()
            raise Stopped(f"{run_id} is over")
        with watch:
            store = RunStore(engine)
            job = with_blocks(stored_job(store, run_id))
            job = replace(job, held=_held_files(job))
            prepared = prepare(job, under_way=True)
            _check_same(prepared)
            execution = Execution(prepared, CatalogRecorder(store, run_id, job.root_run_id), under_way=True)
            execution.join()
        _joined_runs[token] = there = JoinedRun(execution, watch)
        if watch.over:
            over()
        return there


def _held_files(job: Job) -> dict[str, ClaimedFiles]:
    """The files that were claimed for the run, at their current paths."""
    found: dict[str, ClaimedFiles] = {}
    for node in parsed(job).nodes:
        if not isinstance(node, SourceNode) or not isinstance(source := source_of(node, job), HasInbox):
            continue
        if (held := held_before(source.arrivals, node.id, job)) is not None:
            found[node.id] = held
    return found


def _check_same(prepared: Prepared) -> None:
    plan = prepared.job.continues.plan
    stored = () if plan is None else plan.stages
    here = [(stage.name, len(stage.partitions)) for stage in prepared.plan.stages]
    if here != [(stage["name"], len(stage["partitions"])) for stage in stored]:
        raise RunFailed(
            "A worker of the cluster plans this run in another way than the process that began it. "
            "Install the same version of Headrace on all of them."
        )


def _settings() -> Settings:
    try:
        return settings()
    except ValidationError as error:
        missing = ", ".join(f"HEADRACE_{'_'.join(map(str, each['loc'])).upper()}" for each in error.errors())
        raise RunFailed(
            f"A worker of the cluster was started without Headrace's settings ({missing}). "
            "Give it the environment of the Headrace worker."
        ) from None
