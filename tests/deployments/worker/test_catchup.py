"""Which late scheduled runs a worker starts, with a real Prefect server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.settings import temporary_settings
from prefect.states import Completed, Pending, Running, Scheduled

from headrace.deployments.prefect.orchestrator import Orchestrator, RegisteredPipeline
from headrace.deployments.worker.due_runs import due_runs_to_start
from headrace.flows.prefect.names import SKIPPED
from headrace.flows.prefect.scheduled_runs import due_at
from headrace.ir.schedules.schedule import CatchUp, CronSchedule
from tests.conftest import RunningStack

pytestmark = pytest.mark.stack

NOW = datetime.now(UTC)


class Late:
    """A pipeline on a pool that nobody serves, with an hourly schedule and the runs of the last hours."""

    def __init__(self, stack: RunningStack, policy: CatchUp, hours: int = 4) -> None:
        from prefect.client.schemas.actions import WorkPoolCreate

        self._settings, self.client = stack.prefect_settings, stack.prefect_client()
        self.pool = f"nobody-{uuid4().hex[:8]}"
        self.client.create_work_pool(WorkPoolCreate(name=self.pool, type="process"))
        self.orchestrator = Orchestrator(stack.prefect_api, work_pool=self.pool)
        self.pipeline = RegisteredPipeline(f"pipe_{uuid4().hex[:8]}", uuid4().hex[:8], "acme", scheduled_since=NOW)
        self.deployment = UUID(self.set(policy))
        window = {"start_time": (NOW - timedelta(hours=hours)).isoformat(), "end_time": NOW.isoformat()}
        self.client.request(
            "POST", "/deployments/{id}/schedule", path_params={"id": self.deployment}, json={**window, "min_runs": 50}
        )

    def set(self, policy: CatchUp) -> str:
        expression = f"{(NOW - timedelta(minutes=30)).minute} * * * *"
        schedule = CronSchedule(kind="cron", expression=expression, catchup=policy)
        return self.orchestrator.register(replace(self.pipeline, schedule=schedule))

    def runs(self) -> list[FlowRun]:
        """Those that are due, the oldest first."""
        found = self.client.read_flow_runs(limit=200, flow_run_filter=_of(self.deployment))
        due = {at: run for run in found if (at := due_at(run)) is not None and at <= NOW}
        return [due[at] for at in sorted(due)]

    def asks(self, *, workers: int = 1) -> list[list[UUID]]:
        """What so many workers start that ask at the same time."""

        async def asked() -> list[UUID]:
            async with get_client() as client:
                found = await client.get_scheduled_flow_runs_for_work_pool(
                    work_pool_name=self.pool, scheduled_before=NOW + timedelta(seconds=10)
                )
                return [each.flow_run.id for each in await due_runs_to_start(client, found)]

        async def all_ask() -> list[list[UUID]]:
            return list(await asyncio.gather(*(asked() for _ in range(workers))))

        with temporary_settings(self._settings):
            return asyncio.run(all_ask())

    def moves(self, run: FlowRun, *states: Any) -> None:
        for state in states:
            self.client.set_flow_run_state(run.id, state)


def _of(deployment: UUID) -> Any:
    from prefect.client.schemas.filters import FlowRunFilter

    return FlowRunFilter.model_validate({"deployment_id": {"any_": [str(deployment)]}})


@pytest.fixture
def late(stack: RunningStack) -> Iterator[Any]:
    made: list[Late] = []

    def build(*args: Any, **kwargs: Any) -> Late:
        made.append(Late(stack, *args, **kwargs))
        return made[-1]

    yield build
    for each in made:
        each.orchestrator.close()


def messages(late: Late) -> list[str]:
    return [run.state.message or "" for run in late.runs() if run.state is not None and run.state.is_cancelled()]


def test_of_several_missed_the_latest_alone_starts_whoever_asks(late: Any) -> None:
    missed: Late = late("latest")
    *older, newest = missed.runs()
    assert len(older) == 3
    # Prefect gives those that ask at once not all the same.
    assert {each for answer in missed.asks(workers=3) for each in answer} <= {newest.id}
    assert missed.asks() == [[newest.id]]
    assert len(messages(missed)) == 3
    assert all(each.startswith(SKIPPED) for each in messages(missed))
    assert missed.asks() == [[newest.id]]


def test_none_starts_nothing_that_was_missed(late: Any) -> None:
    missed: Late = late("none")
    assert missed.asks(workers=2) == [[], []]
    assert missed.asks() == [[]]
    assert len(messages(missed)) == 4


@pytest.mark.slow
def test_all_start_one_after_the_other_the_oldest_first(late: Any) -> None:
    missed: Late = late("all", hours=3)
    runs = missed.runs()
    for run in runs:
        assert {each for answer in missed.asks(workers=2) for each in answer} <= {run.id}
        assert missed.asks() == [[run.id]]
        missed.moves(run, Pending(), Running())
        assert missed.asks() == [[]]
        missed.moves(run, Completed())
    assert missed.asks() == [[]]
    assert messages(missed) == []


def test_another_policy_holds_for_those_that_wait(late: Any) -> None:
    missed: Late = late("all")
    *_, newest = missed.runs()
    missed.set("latest")
    assert missed.asks() == [[newest.id]]
    assert len(messages(missed)) == 3


def test_what_somebody_asks_for_is_never_let_go(late: Any) -> None:
    missed: Late = late("none")
    again, moved, *_ = missed.runs()
    by_hand: SyncPrefectClient = missed.client
    fresh = by_hand.create_flow_run_from_deployment(missed.deployment, state=Scheduled(scheduled_time=NOW))
    missed.moves(again, Completed(), Scheduled(name="AwaitingRetry", scheduled_time=NOW))
    missed.moves(moved, Scheduled(scheduled_time=NOW))
    [started] = missed.asks()
    assert set(started) == {fresh.id, again.id, moved.id}
    assert len(messages(missed)) == 2
