"""Runs stages in dependency order; independent stages run concurrently."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from headrace.connectors.target import Resume
from headrace.flows.compile import Stage


def run_stages(
    stages: Sequence[Stage], work: Callable[[Stage, int], Resume], pool: ThreadPoolExecutor, stop: Callable[[], None]
) -> list[Resume]:
    """Runs every partition of every stage after the stages it depends on, and returns the results. Raises the error of
    the first partition that fails, after the others have stopped."""
    left = {stage.index: len(stage.partitions) for stage in stages}
    waiting, running, done = list(stages), dict[Future[Resume], int](), list[Resume]()
    while waiting or running:
        ready = [stage for stage in waiting if not any(left[before] for before in stage.after)]
        waiting = [stage for stage in waiting if stage not in ready]
        for stage in ready:
            running |= {pool.submit(work, stage, p.index): stage.index for p in stage.partitions}
        if not running:
            continue
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        failed = [future for future in finished if future.exception() is not None]
        if failed:
            stop()
            pool.shutdown(cancel_futures=True)
            failed[0].result()
        for future in finished:
            left[running.pop(future)] -= 1
            done.append(future.result())
    return done
