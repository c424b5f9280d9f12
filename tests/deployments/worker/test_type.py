"""A worker that receives events polls rarely, but starts a run as soon as a slot is free."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast
from uuid import UUID, uuid4

import anyio
import pytest
from prefect.client.schemas.objects import FlowRun

from headrace.deployments.worker.type import HeadraceWorker


@pytest.mark.parametrize(("limited", "asked"), [(True, 1), (False, 0)], ids=["limited", "without a limit"])
def test_a_slot_that_becomes_free_is_filled_at_the_next_look(limited: bool, asked: int) -> None:
    questions: list[None] = []

    async def ask() -> list[FlowRun]:
        questions.append(None)
        return []

    async def look() -> None:
        worker, run = HeadraceWorker("pool"), uuid4()
        worker._ask = ask  # type: ignore[method-assign]
        worker._notified, worker._asked_at = True, time.monotonic()
        if limited:
            worker._limiter = anyio.CapacityLimiter(1)
            worker._limiter.acquire_on_behalf_of_nowait(run)
        await worker.get_and_submit_flow_runs()
        assert not questions, "it was notified: nothing is due"
        worker._release_limit_slot(run)
        await worker.get_and_submit_flow_runs()

    asyncio.run(look())
    assert len(questions) == asked


def test_labels_that_cannot_be_given_end_nothing() -> None:
    class Closed:
        async def update_flow_run_labels(self, flow_run_id: UUID, labels: dict[str, str]) -> None:
            raise RuntimeError("Cannot send a request, as the client has been closed.")

    async def label() -> None:
        worker = HeadraceWorker("pool")
        worker._client = cast(Any, Closed())
        await worker._label(uuid4())

    asyncio.run(label())
