"""Prefect retries unexpected exceptions of a run's tasks, and not failures with a known reason."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prefect import State, flow
from prefect.settings import temporary_settings

from headrace.connectors.errors import SourceError
from headrace.connectors.target import Resume
from headrace.flows import run as flows_run
from headrace.flows.runtime.execute import Execution
from headrace.flows.runtime.partition import Stopped
from tests.conftest import RunningStack

pytestmark = pytest.mark.stack


class Flaky:
    """An execution whose partition fails a few times before it is done."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.attempts = list(errors), 0
        counted = SimpleNamespace(sinks=(), source=object(), root_node="source")
        self.prepared = SimpleNamespace(plan=SimpleNamespace(stages=[counted]), modes={})

    def partition(self, stage: Any, index: int) -> Resume:
        self.attempts += 1
        if self.errors:
            raise self.errors.pop(0)
        return Resume(rows_done=3, rows_loaded=3)


@pytest.mark.parametrize(
    ("errors", "attempts", "ended"),
    [
        ([OSError("stale file handle")], 2, "Completed"),
        ([OSError("stale file handle")] * 3, 3, "Failed"),
        ([SourceError("file_not_found", "There is no file", "Put it there.")], 1, "Failed"),
        ([Stopped("another one failed")], 1, "Failed"),
    ],
    ids=["once", "as often as it is tried", "explained", "stopped"],
)
def test_a_partition_is_tried_again_when_nobody_can_say_why_it_failed(
    stack: RunningStack, errors: list[Exception], attempts: int, ended: str
) -> None:
    flaky = Flaky(*errors)

    @flow(name="retries of tasks")
    async def one_partition() -> State[Any]:
        task = flows_run.load_partition.with_options(retries=2, retry_delay_seconds=0)
        return cast("State[Any]", await task("run_flaky", 0, 0, return_state=True))

    with temporary_settings(stack.prefect_settings), ThreadPoolExecutor(1) as pool:
        flows_run._running["run_flaky"] = flows_run.InProcess(cast(Execution, flaky), pool)
        try:
            state = asyncio.run(cast(Any, one_partition)(return_state=True))
        finally:
            del flows_run._running["run_flaky"]
    assert (flaky.attempts, state.name) == (attempts, ended)
