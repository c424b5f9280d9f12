"""The orchestrator with a real Prefect server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import ConcurrencyLimitStrategy
from prefect.states import Completed, Running

from headrace.deployments.prefect.api import PrefectApi
from headrace.deployments.prefect.orchestrator import (
    Orchestrator,
    OrchestratorAway,
    OrchestratorRefused,
    RegisteredPipeline,
    UnknownDeployment,
)
from headrace.ir.schedules.schedule import CronSchedule

pytestmark = pytest.mark.stack


@pytest.fixture
def client(stack: Any) -> SyncPrefectClient:
    return stack.prefect_client()


@pytest.fixture
def orchestrator(stack: Any, client: SyncPrefectClient) -> Iterator[Orchestrator]:
    """On a pool that nobody serves, so that runs stay where the test puts them."""
    from prefect.client.schemas.actions import WorkPoolCreate

    pool = f"nobody-{uuid4().hex[:8]}"
    client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
    made = Orchestrator(stack.prefect_api, work_pool=pool)
    yield made
    made.close()


def a_pipeline() -> RegisteredPipeline:
    key = uuid4().hex[:8]
    return RegisteredPipeline(f"pipe_{key}", f"Orders {key} / day", "acme", None, 1, 4)


def test_a_pipeline_becomes_its_own_flow_and_deployment(orchestrator: Orchestrator, client: SyncPrefectClient) -> None:
    pipeline = replace(a_pipeline(), schedule=CronSchedule(kind="cron", expression="0 2 * * *"))
    deployment = client.read_deployment(UUID(orchestrator.register(pipeline)))
    assert client.read_flow(deployment.flow_id).name == f"acme: {deployment.name}"
    assert deployment.entrypoint == "headrace.flows.run.run_pipeline"
    assert deployment.parameters == {"pipeline_id": pipeline.id, "tenant_id": "acme"}
    assert {"headrace", "tenant:acme", f"pipeline:{pipeline.id}", "catchup:latest"} == set(deployment.tags)
    assert deployment.global_concurrency_limit is not None
    assert deployment.global_concurrency_limit.limit == 1
    assert deployment.concurrency_options is not None
    assert deployment.concurrency_options.collision_strategy == ConcurrencyLimitStrategy.ENQUEUE
    assert [each.active for each in deployment.schedules] == [True]
    assert not deployment.paused


def test_only_a_change_is_sent(orchestrator: Orchestrator, client: SyncPrefectClient) -> None:
    pipeline = replace(a_pipeline(), schedule=CronSchedule(kind="cron", expression="0 2 * * *"))
    first = orchestrator.register(pipeline)
    before = client.read_deployment(UUID(first))
    assert orchestrator.register(pipeline) == first
    assert client.read_deployment(UUID(first)).updated == before.updated
    assert orchestrator.register(replace(pipeline, active=False, ir_version=2)) == first
    after = client.read_deployment(UUID(first))
    assert after.paused
    assert after.version is not None
    assert after.version.startswith("v2+")


def test_a_renamed_pipeline_has_one_deployment(orchestrator: Orchestrator, client: SyncPrefectClient) -> None:
    pipeline = a_pipeline()
    old = orchestrator.register(pipeline)
    new = orchestrator.register(replace(pipeline, name=f"{pipeline.name} renamed"))
    assert new != old
    assert orchestrator.retire(pipeline.id, keep=new)
    with pytest.raises(UnknownDeployment):
        orchestrator.start(old, parameters={}, idempotency_key=None)
    orchestrator.unregister(pipeline.id)
    with pytest.raises(UnknownDeployment):
        orchestrator.start(new, parameters={}, idempotency_key=None)


def test_a_run_that_waits_under_the_former_name_is_not_lost(
    orchestrator: Orchestrator, client: SyncPrefectClient
) -> None:
    pipeline = replace(a_pipeline(), schedule=CronSchedule(kind="cron", expression="* * * * *"))
    old = orchestrator.register(pipeline)
    run = orchestrator.start(old, parameters={}, idempotency_key=None)
    new = orchestrator.register(replace(pipeline, name=f"{pipeline.name} renamed"))
    assert not orchestrator.retire(pipeline.id, keep=new)
    assert client.read_deployment(UUID(old)).paused  # it fires no more
    found = orchestrator.state(run.run_id)
    assert found is not None
    assert found.status == "pending"
    client.set_flow_run_state(UUID(run.run_id.removeprefix("run_")), Completed(), force=True)
    assert orchestrator.retire(pipeline.id, keep=new)
    assert not client.read_deployment(UUID(new)).paused
    last = orchestrator.start(new, parameters={}, idempotency_key=None)
    assert not orchestrator.unregister(pipeline.id)
    assert client.read_deployment(UUID(new)).paused
    client.set_flow_run_state(UUID(last.run_id.removeprefix("run_")), Completed(), force=True)
    assert orchestrator.unregister(pipeline.id)


def test_what_prefect_has_is_reported_by_pipeline(orchestrator: Orchestrator) -> None:
    pipeline = a_pipeline()
    orchestrator.register(pipeline)
    assert orchestrator.registered()[pipeline.id] == pipeline.standing
    orchestrator.unregister(pipeline.id)
    assert pipeline.id not in orchestrator.registered()


def test_what_prefect_refuses_is_said_in_its_words(stack: Any) -> None:
    nowhere = Orchestrator(stack.prefect_api, "a-pool-nobody-made")
    with pytest.raises(OrchestratorRefused, match=r"Work pool .a-pool-nobody-made. not found"):
        nowhere.register(a_pipeline())
    nowhere.close()


def test_a_run_is_started_once_per_key_and_its_state_followed(
    orchestrator: Orchestrator, client: SyncPrefectClient
) -> None:
    deployment = orchestrator.register(a_pipeline())
    run = orchestrator.start(deployment, parameters={"ir_version": 1}, idempotency_key="acme:k")
    assert orchestrator.start(deployment, parameters={"ir_version": 1}, idempotency_key="acme:k") == run
    other = orchestrator.start(deployment, parameters={}, idempotency_key=None)
    assert other.run_id != run.run_id
    flow_run_id = UUID(run.run_id.removeprefix("run_"))
    assert client.read_flow_run(flow_run_id).parameters["ir_version"] == 1

    found = orchestrator.state(run.run_id)
    assert found is not None
    assert (found.status, found.deployment_id, found.started_at) == ("pending", deployment, None)
    client.set_flow_run_state(flow_run_id, Running(), force=True)
    client.request("PATCH", f"/flow_runs/{flow_run_id}", json={"tags": ["headrace", "rows-failed"]})
    client.set_flow_run_state(flow_run_id, Completed(message="3 rows"), force=True)
    found = orchestrator.state(run.run_id)
    assert found is not None
    assert (found.status, found.message, found.failure_reason) == ("completed_with_errors", "3 rows", None)
    assert found.ended_at is not None

    orchestrator.cancel(other.run_id)
    cancelled = orchestrator.state(other.run_id)
    assert cancelled is not None
    assert (cancelled.status, cancelled.failure_reason) == ("failed", "cancelled")
    assert [each.run_id for each in orchestrator.runs(deployment)] == [other.run_id, run.run_id]
    assert [each.run_id for each in orchestrator.runs(deployment, limit=1)] == [other.run_id]
    assert orchestrator.active_runs(deployment) == []


@pytest.mark.slow
def test_runs_that_a_schedule_will_start_later_are_not_listed(
    orchestrator: Orchestrator, client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.states import AwaitingConcurrencySlot
    from prefect.types._datetime import now

    while datetime.now(UTC).second > 45:  # the schedule's first run must stay in the future
        time.sleep(0.2)
    deployment = orchestrator.register(
        replace(a_pipeline(), schedule=CronSchedule(kind="cron", expression="* * * * *"))
    )
    run = orchestrator.start(deployment, parameters={}, idempotency_key=None)
    client.set_flow_run_state(
        UUID(run.run_id.removeprefix("run_")),
        AwaitingConcurrencySlot(scheduled_time=now("UTC") + timedelta(seconds=20)),
        force=True,
    )
    assert [each.run_id for each in orchestrator.runs(deployment)] == [run.run_id]
    monkeypatch.setattr("headrace.deployments.prefect.deployments.PAGE_SIZE", 2)
    started = {orchestrator.start(deployment, parameters={}, idempotency_key=None).run_id for _ in range(4)}
    assert {each.run_id for each in orchestrator.active_runs(deployment)} == started | {run.run_id}


@pytest.mark.parametrize("run_id", ["run_nonsense", "", f"run_{'0' * 32}"])
def test_a_run_that_is_not_there_has_no_state(orchestrator: Orchestrator, run_id: str) -> None:
    assert orchestrator.state(run_id) is None


def test_many_threads_share_one(orchestrator: Orchestrator) -> None:
    pipeline = a_pipeline()
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(orchestrator.register(pipeline))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_prefect_being_away_is_said_so() -> None:
    away = Orchestrator(PrefectApi("http://127.0.0.1:9/api"))
    assert not away.healthy()
    with pytest.raises(OrchestratorAway, match=r"127\.0\.0\.1:9"):
        away.register(a_pipeline())


def test_a_prefect_that_answers_is_healthy(orchestrator: Orchestrator) -> None:
    assert orchestrator.healthy()


def test_late_runs_of_a_schedule_are_shown_as_of_when_they_were_due(
    orchestrator: Orchestrator, client: SyncPrefectClient
) -> None:
    pipeline = replace(a_pipeline(), schedule=CronSchedule(kind="cron", expression="* * * * *"))
    deployment_id = orchestrator.register(pipeline)
    begin = datetime.now(UTC) - timedelta(minutes=10)
    # as the scheduler does ahead of time; nobody serves the pool
    client.request(
        "POST",
        "/deployments/{id}/schedule",
        path_params={"id": deployment_id},
        json={"start_time": begin.isoformat(), "min_runs": 5, "max_runs": 5},
    )
    late = [run for run in orchestrator.late(datetime.now(UTC), 200) if run.pipeline_id == pipeline.id]
    due = [begin.replace(second=0, microsecond=0) + timedelta(minutes=number) for number in range(1, 6)]
    assert [run.created_at for run in late] == due
    assert {run.status for run in late} == {"pending"}
    listed = {run.run_id: run.created_at for run in orchestrator.runs(deployment_id)}
    assert listed | {run.run_id: run.created_at for run in late} == listed
    assert not orchestrator.served()
