"""A run in a process of a cluster: planned again from what the run's own process stored, once, for all its partitions
there. Only ids come over the wire, so neither rows nor credentials pass through the cluster's scheduler."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace

from pydantic import ValidationError

from catalog.engine import make_engine
from catalog.runs import RunStore
from catalog.settings import Settings, settings
from connectors.base import Resume
from connectors.files.arrivals import AwaitsFiles, Held
from flows.asked import job_under_way
from flows.prefect.blocks import with_blocks
from flows.runtime.catalog_journal import CatalogJournal
from flows.runtime.execute import Execution
from flows.runtime.job import Job, Prepared
from flows.runtime.limits import RunFailed
from flows.runtime.partition import Stopped
from flows.runtime.prepare import held_before, parsed, prepare, source_of
from flows.runtime.pulse import Watch
from ir.nodes import SourceNode


class Joined:
    """A run of which this process does a part. `execution` has neither locks nor hooks: they stay where it began."""

    def __init__(self, execution: Execution, watch: Watch) -> None:
        self.execution, self._watch = execution, watch

    async def threaded(self, work: Callable[[], Resume]) -> Resume:
        """The work on a partition or a publication, in a thread."""
        return await asyncio.to_thread(self._watched, work)

    def _watched(self, work: Callable[[], Resume]) -> Resume:
        with self._watch:
            return work()


_joined: dict[int, Joined] = {}
_joining: dict[int, threading.Lock] = {}


async def joined(run_id: str, token: int) -> Joined:
    """The run, planned here when this is its first partition here. `token` is that of its Pulse.

    Raises what planning raises, and Stopped when the run is over.
    """
    return await asyncio.to_thread(_join, run_id, token)


def _join(run_id: str, token: int) -> Joined:
    with _joining.setdefault(token, threading.Lock()):
        if (there := _joined.get(token)) is not None:
            return there
        chosen = _settings()

        def over() -> None:
            if (there := _joined.pop(token, None)) is not None:
                there.execution.stop()
            _joining.pop(token, None)
            engine.dispose()

        watch = Watch(chosen.database_url, token, over)
        engine = make_engine(chosen.database_url)
        if not watch.begin():
            engine.dispose()
            raise Stopped(f"{run_id} is over")
        with watch:
            store = RunStore(engine)
            job = with_blocks(job_under_way(store, run_id))
            job = replace(job, held=_files(job))
            prepared = prepare(job, under_way=True)
            _check_same(prepared)
            execution = Execution(prepared, CatalogJournal(store, run_id, job.root_run_id), under_way=True)
            execution.join()
        _joined[token] = there = Joined(execution, watch)
        if watch.over:
            over()
        return there


def _files(job: Job) -> dict[str, Held]:
    """The files that were taken for the run, where they lie."""
    found: dict[str, Held] = {}
    for node in parsed(job).nodes:
        if not isinstance(node, SourceNode) or not isinstance(source := source_of(node, job), AwaitsFiles):
            continue
        if (held := held_before(source.arrivals, node.id, job)) is not None:
            found[node.id] = held
    return found


def _check_same(prepared: Prepared) -> None:
    stored = (prepared.job.continues.earlier_plan or {}).get("stages", [])
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
