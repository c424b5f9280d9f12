"""Limits per tenant: waiting and running runs, and objects of the catalog. Other tenants are not affected."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headrace.api.app import BASE_PATH, create_app
from headrace.deployments.prefect.orchestrator import Orchestrator, OverdueRun, RegisteredPipeline
from headrace.deployments.sync.tenant_limits import TenantLimits, runs_over_limit
from headrace.flows.prefect.names import GIVEN_UP
from tests.api.conftest import (
    CONNECTOR,
    IR,
    SCHEMA,
    Facade,
    created,
    error_of,
    settings_for,
)
from tests.conftest import RunningStack
from tests.rest import Api, eventually

LONG = "amount,note\n" + "".join(f"{number},note\n" for number in range(200_000))


@pytest.fixture
def limited(facade: Facade) -> Any:
    """Clients of an editor of `default` and of an admin of `other`, with other settings."""

    def clients(**settings: Any) -> tuple[TestClient, TestClient]:
        changed = facade.app.state.services.settings.model_copy(update=settings)
        app = create_app(changed, orchestrator=facade.orchestrator, engine=facade.engine)
        ours, theirs = (TestClient(app, headers=client.headers) for client in (facade.admin, facade.foreign))
        return ours, theirs

    return clients


@pytest.mark.postgres
class TestRunsThatWait:
    def test_beyond_the_limit_none_can_be_asked_for(self, facade: Facade, limited: Any) -> None:
        ours, theirs = limited(max_waiting_runs=3)
        run = f"{BASE_PATH}/pipelines/{facade.pipeline()['id']}/run"
        first = ours.post(run, headers={"Idempotency-Key": "first"})
        assert [ours.post(run).status_code for _ in range(2)] == [201] * 2
        answer = ours.post(run)
        assert "HEADRACE_MAX_WAITING_RUNS" in error_of(answer, 429)["message"]
        assert answer.headers["Retry-After"].isdigit()
        assert len(facade.orchestrator.states) == 3  # Prefect was not asked
        # the same request again is no new run
        again = ours.post(run, headers={"Idempotency-Key": "first"})
        assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
        assert ours.get(f"{BASE_PATH}/pipelines").status_code == 200
        theirs_too = f"{BASE_PATH}/pipelines/{facade.pipeline(client=facade.foreign)['id']}/run"
        assert theirs.post(theirs_too).status_code == 201
        assert b'headrace_refusals_total{reason="waiting_runs"} 1.0' in ours.get("/metrics").content

        facade.store.started(first.json()["id"], total_rows=1, fingerprint={}, plan={}, partitions=[(0, 0, 1)])
        assert ours.post(run).status_code == 201

    def test_a_retry_is_one_too(self, facade: Facade, limited: Any) -> None:
        ours, _ = limited(max_waiting_runs=1)
        run = f"{BASE_PATH}/pipelines/{facade.pipeline()['id']}/run"
        failed = created(ours, run, {})["id"]
        facade.store.finished(failed, status="failed", failure_reason="broken")
        assert ours.post(run).status_code == 201
        error_of(ours.post(f"{run}s/{failed}/retry"), 429)

    def test_a_tenant_may_have_limits_of_its_own(self, facade: Facade, limited: Any) -> None:
        ours, theirs = limited(max_waiting_runs=1, tenant_limits={"other": {"waiting_runs": 3}})
        mine = f"{BASE_PATH}/pipelines/{facade.pipeline()['id']}/run"
        their = f"{BASE_PATH}/pipelines/{facade.pipeline(client=facade.foreign)['id']}/run"
        assert [ours.post(mine).status_code for _ in range(2)] == [201, 429]
        assert [theirs.post(their).status_code for _ in range(4)] == [201] * 3 + [429]

    def test_a_limit_that_there_is_not_is_refused_at_the_start(self) -> None:
        with pytest.raises(ValidationError, match="'runing_runs' is not a limit of a tenant"):
            settings_for("postgresql:///x", tenant_limits={"shop": {"runing_runs": 1}})
        assert settings_for("postgresql:///x", tenant_limits={"a": {"waiting_runs": 2}}).smallest("waiting_runs") == 2

    def test_why_a_run_waits_is_reported(self, facade: Facade, limited: Any) -> None:
        ours, _ = limited(max_running_runs=1)
        path = f"{BASE_PATH}/pipelines/{facade.pipeline()['id']}"
        busy, waiting = (created(ours, f"{path}/run", {})["id"] for _ in range(2))
        assert ours.get(f"{path}/runs/{waiting}/progress").json()["log"] == []
        facade.store.started(busy, total_rows=1, fingerprint={}, plan={}, partitions=[(0, 0, 1)])
        progress = ours.get(f"{path}/runs/{waiting}/progress").json()
        assert progress["status"] == "pending"
        assert progress["log"][-1]["message"] == "waits: tenant limit of 1 running runs (HEADRACE_MAX_RUNNING_RUNS)"
        assert ours.get(f"{path}/runs/{busy}/progress").json()["log"] == []


@pytest.mark.postgres
class TestObjects:
    @pytest.mark.parametrize(
        ("limit", "path", "body"),
        [
            ("connectors", "/connectors", CONNECTOR),
            ("schemas", "/schemas", SCHEMA),
            ("api_keys", "/api-keys", {"role": "viewer"}),
        ],
    )
    def test_there_are_so_many_of_a_kind(
        self, facade: Facade, limited: Any, limit: str, path: str, body: dict[str, Any]
    ) -> None:
        total = facade.admin.get(f"{BASE_PATH}{path}").json()["pagination"]["total"] if limit != "api_keys" else 0
        most = total + 2 if limit != "api_keys" else 1
        ours, theirs = limited(**{f"max_{limit}": most})
        statuses = [ours.post(f"{BASE_PATH}{path}", json={**body, "name": f"n{n}"}).status_code for n in range(4)]
        assert statuses == ([201, 201, 409, 409] if limit != "api_keys" else [409] * 4)
        refused = error_of(ours.post(f"{BASE_PATH}{path}", json={**body, "name": "more"}), 409)
        assert f"HEADRACE_MAX_{limit.upper()}" in refused["message"]
        if limit != "api_keys":  # the other tenant has a key already, too
            assert theirs.post(f"{BASE_PATH}{path}", json={**body, "name": "theirs"}).status_code == 201

    def test_so_many_pipelines_and_versions_of_one(self, facade: Facade, limited: Any) -> None:
        ours, _ = limited(max_pipelines=1, max_ir_versions=3)
        pipeline = facade.pipeline()["id"]
        body = facade.references(pipeline, IR)
        assert "HEADRACE_MAX_PIPELINES" in error_of(ours.post(f"{BASE_PATH}/pipelines", json=body), 409)["message"]
        path = f"{BASE_PATH}/pipelines/{pipeline}/ir"
        statuses = [ours.post(path, json={"ir": IR | {"metadata": {"name": f"v{n}"}}}).status_code for n in range(4)]
        assert statuses == [201, 201, 409, 409]
        assert (
            ours.post(path, json={"ir": IR | {"metadata": {"name": "v1"}}}).status_code == 200
        )  # what is there already

    def test_so_many_applied_sets(self, facade: Facade, limited: Any) -> None:
        ours, _ = limited(max_applied_sets=1)
        ours.put(f"{BASE_PATH}/applied-sets?name={uuid4().hex}", json={"objects": []})
        refused = ours.put(f"{BASE_PATH}/applied-sets?name={uuid4().hex}", json={"objects": []})
        assert "HEADRACE_MAX_APPLIED_SETS" in error_of(refused, 409)["message"]


def due(minutes: int, pipeline: str, tenant: str = "shop") -> OverdueRun:
    due_at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    return OverdueRun(f"run of {pipeline} {minutes}", tenant, pipeline, due_at)


class TestSurplus:
    def test_one_that_fires_all_the_time_does_not_cost_the_others_theirs(self) -> None:
        runs = [due(n, "minutely") for n in range(100)] + [due(99, "daily"), due(98, "hourly")]
        given_up = runs_over_limit(runs, lambda _: 10)
        assert len(given_up) == 92
        assert {run.pipeline_id for run in given_up} == {"minutely"}
        assert min(run.due_at for run in given_up) == due(8, "").due_at  # the longest due are kept

    @given(
        runs=st.lists(
            st.builds(due, st.integers(0, 50), st.sampled_from("abc"), st.sampled_from(["shop", "bank"])),
            unique_by=lambda run: (run.run_id, run.tenant_id),
        ),
        limit=st.integers(1, 8),
    )
    def test_each_tenant_keeps_its_limit_and_no_more(self, runs: list[OverdueRun], limit: int) -> None:
        given_up = runs_over_limit(runs, lambda _: limit)
        for tenant in ("shop", "bank"):
            had, lost = (sum(run.tenant_id == tenant for run in each) for each in (runs, given_up))
            assert lost == max(0, had - limit)


@pytest.mark.stack
class TestWithPrefect:
    @pytest.fixture
    def orchestrator(self, stack: RunningStack) -> Iterator[Orchestrator]:
        made = Orchestrator(stack.prefect_api)
        yield made
        made.close()

    def test_runs_beyond_the_limit_wait_and_then_run(self, stack: RunningStack, orchestrator: Orchestrator) -> None:
        slow = Api(stack, LONG, execution={"parallelism": 1, "batchSize": 200}).create()
        others = [Api(stack).create() for _ in range(2)]
        assert others[0].run()["status"] == "completed_with_errors"  # nothing else keeps it waiting
        assert orchestrator.limit_queues(lambda _: 1) >= 1
        try:
            running = slow.start()
            eventually(lambda: slow.progress(running)["status"] == "running" or None)
            waiting = [each.start() for each in others]
            while slow.progress(running)["completedPartitions"] == 0:
                assert [each.progress(run)["status"] for each, run in zip(others, waiting, strict=True)] == [
                    "pending"
                ] * 2 or slow.progress(running)["completedPartitions"]
            for each, run in zip(others, waiting, strict=True):
                assert each.finished(run)["status"] == "completed_with_errors"
        finally:
            orchestrator.limit_queues(lambda _: 50)
        for each in (slow, *others):
            each.close()

    def test_runs_of_schedules_beyond_the_limit_are_given_up_with_a_reason(self, stack: RunningStack) -> None:
        from prefect.client.schemas.actions import WorkPoolCreate
        from prefect.states import Scheduled

        tenant, pool = f"shop-{uuid4().hex[:8]}", f"nobody-{uuid4().hex[:8]}"
        client = stack.prefect_client()
        client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        orchestrator = Orchestrator(stack.prefect_api, pool, lambda _: 7)
        pipeline = RegisteredPipeline(f"pipe_{uuid4().hex[:8]}", f"Orders {uuid4().hex[:8]}", tenant, None, 1, 4)
        deployment = client.read_deployment(UUID(orchestrator.register(pipeline)))
        assert deployment.work_queue_name == f"tenant:{tenant}"
        queue = {"work_pool_name": pool, "name": f"tenant:{tenant}"}
        found = client.request("GET", "/work_pools/{work_pool_name}/queues/{name}", path_params=queue).json()
        assert found["concurrency_limit"] == 7
        past = datetime.now(UTC) - timedelta(hours=1)
        for n in range(5):
            client.create_flow_run_from_deployment(
                deployment.id,
                state=Scheduled(scheduled_time=past + timedelta(minutes=n)),
                tags=[*pipeline.tags, "auto-scheduled"],
            )
        overdue = [run for run in orchestrator.overdue() if run.tenant_id == tenant]
        assert [run.pipeline_id for run in overdue] == [pipeline.id] * 5
        limits = TenantLimits(
            orchestrator,
            running=lambda _: 7,
            waiting=lambda name: 3 if name == tenant else 10**6,
            least=3,
        )
        assert limits.cancel_surplus_runs() == 2
        left = [run.run_id for run in orchestrator.overdue() if run.tenant_id == tenant]
        assert left == [run.run_id for run in overdue[:3]]
        for run in overdue[3:]:
            state = orchestrator.state(run.run_id)
            assert state is not None
            assert state.status == "failed"
            assert (state.failure_reason or "").startswith(GIVEN_UP)
        assert limits.cancel_surplus_runs() == 0
        orchestrator.close()
