"""Runs the parts of a run in the order of their dependencies: partitions of stages, publications, comparisons of keys.

Who runs a part (a thread, a Prefect task, a worker of a cluster) is up to the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from headrace.connectors.target import Resume
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.partition import Stopped


@dataclass(frozen=True, slots=True)
class Part:
    """A partition of a stage, or a publication of a target or the comparison of its keys. `number` is the stage's index
    or the load's number."""

    number: int
    index: int
    publishes: bool
    group: str
    """The name of all partitions of the stage, or of all publications of the target."""
    name: str
    """The name of this one: `orders > load [1/8]`."""


Run = Callable[[Part], Awaitable[Resume]]


async def run_parts(
    execution: Execution, run: Run, *, at_once: int, explained: tuple[type[Exception], ...] = ()
) -> list[Resume]:
    """Runs all partitions, each stage after the stages that it reads, then all publications, and then all comparisons
    of keys, `at_once` at a time.

    When one part fails, the others are stopped, and the error that made the run fail is raised: one of the types
    `explained` first, an error because of the stop last.
    """
    slots = asyncio.Semaphore(at_once)

    async def one(part: Part) -> Resume:
        async with slots:
            try:
                return await run(part)
            except BaseException:
                execution.stop()
                raise

    stages = execution.prepared.plan.stages
    left = {stage.index: len(stage.partitions) for stage in stages}
    ended = {stage.index: asyncio.Event() for stage in stages}
    for index, partitions in left.items():
        if not partitions:
            ended[index].set()

    async def in_order(part: Part, after: Iterable[int]) -> Resume:
        for before in after:
            await ended[before].wait()
        done = await one(part)
        left[part.number] -= 1
        if not left[part.number]:
            ended[part.number].set()
        return done

    async def together(parts: Iterable[Awaitable[Resume]]) -> list[Resume]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(_awaited(part)) for part in parts]
        except BaseExceptionGroup as errors:
            raise first_cause(errors, explained) from errors
        return [task.result() for task in tasks]

    done = await together(
        in_order(Part(stage.index, p.index, False, stage.name, stage.task_name(p.index)), stage.after)
        for stage in stages
        for p in stage.partitions
    )
    publications = await asyncio.to_thread(execution.publications)
    done += await together(
        one(Part(load.number, index, True, load.publication_name, load.publication_name + label))
        for load, index, label in publications
    )
    # not before: what a source had when it was read is in the table then, and is compared with what it has now
    return done + await together(
        one(Part(load.number, index, True, load.target.id + label, load.target.id + label))
        for load, index, label in execution.comparisons()
    )


async def _awaited(part: Awaitable[Resume]) -> Resume:
    return await part


def first_cause(errors: BaseExceptionGroup[Any], explained: tuple[type[Exception], ...]) -> BaseException:
    """The error that made the run fail, rather than one of a part that stopped because of it."""
    causes = [error for error in errors.exceptions if not isinstance(error, Stopped | asyncio.CancelledError)]
    return next((error for error in causes if isinstance(error, explained)), (causes or [*errors.exceptions])[0])


def run_in_threads(execution: Execution, *, closes: bool = True) -> RunTotals:
    """Runs all parts in a pool of threads, without Prefect. Raises the error of the part that failed first, after the
    others have stopped. `closes` what the sources hold at the end."""

    def in_a_loop_of_its_own() -> list[Resume]:
        return asyncio.run(_in_threads(execution))

    try:
        execution.begin()
        # not in the caller's thread, which may have an event loop that is running: a notebook
        with ThreadPoolExecutor(1, thread_name_prefix="scheduler") as scheduler:
            done = scheduler.submit(in_a_loop_of_its_own).result()
        return execution.finish(done)
    finally:
        if closes:
            execution.prepared.close()


async def _in_threads(execution: Execution) -> list[Resume]:
    plan, at_once = execution.prepared.plan, execution.prepared.execution.parallelism
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(at_once, thread_name_prefix="partition") as pool:

        async def run(part: Part) -> Resume:
            if part.publishes:
                return await loop.run_in_executor(pool, execution.publication, plan.loads[part.number], part.index)
            return await loop.run_in_executor(pool, execution.partition, plan.stages[part.number], part.index)

        return await run_parts(execution, run, at_once=at_once)
