"""Runs of a schedule whose time was missed, from the document to the table, with our worker and with Prefect's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from tests.conftest import RunningStack
from tests.deployments.stock_pools import cli, stock_pool
from tests.rest import Api, eventually

pytestmark = pytest.mark.stack

__all__ = ["cli", "stock_pool"]


def now() -> datetime:
    return datetime.now(UTC)


Make = Callable[[str], Api]


@pytest.fixture
def hourly(stack: RunningStack) -> Iterator[Make]:
    """Pipelines of one row with an hourly schedule."""
    made: list[Api] = []

    def build(policy: str) -> Api:
        minute = (now() - timedelta(minutes=30)).minute
        schedule = {"kind": "cron", "expression": f"{minute} * * * *", "catchup": policy}
        made.append(Api(stack, "amount,note\n1,a\n", schedule=schedule))
        return made[-1].create()

    yield build
    for api in made:
        api.close()


def miss(stack: RunningStack, deployment: str, hours: int) -> None:
    """What Prefect would have made in the last hours, had nobody been there to begin it."""
    window = {"start_time": (now() - timedelta(hours=hours)).isoformat(), "end_time": now().isoformat(), "min_runs": 50}
    assert stack.prefect.post(f"/deployments/{deployment}/schedule", json=window).is_success


def all_ended(api: Api, many: int) -> list[dict[str, Any]]:
    """The pipeline's runs, the oldest first, when there are so many and all have ended."""

    def ended() -> list[dict[str, Any]] | None:
        runs = api.runs()
        done = len(runs) == many and all(run["status"] not in ("pending", "running") for run in runs)
        return runs[::-1] if done else None

    return eventually(ended)


def test_after_a_downtime_the_latest_runs_and_the_others_say_why_not(stack: RunningStack, hourly: Make) -> None:
    api = hourly("latest")
    miss(stack, api.deployment(), 4)
    *older, newest = all_ended(api, 4)
    assert newest["status"] == "completed"
    assert "skipReason" not in newest
    for run in older:
        assert (run["status"], run["skipReason"][:9]) == ("completed", "Skipped: ")
        detail = api.detail(run["id"])
        assert (detail["failureReason"], detail["startedAt"]) == (None, None)
        assert detail["skipReason"] in [line["message"] for line in api.progress(run["id"])["log"]]
        assert api.post(f"/pipelines/{api.pipeline}/runs/{run['id']}/retry").status_code == 422
    assert api.rows() == [(1, "a")]
    assert api.get(f"/pipelines/{api.pipeline}").json()["lastRunStatus"] == "completed"


@pytest.mark.slow
def test_all_are_run_the_oldest_first(stack: RunningStack, hourly: Make) -> None:
    api = hourly("all")
    miss(stack, api.deployment(), 4)
    runs = all_ended(api, 4)
    assert [run["status"] for run in runs] == ["completed"] * 4
    due = {"deployment_id": {"any_": [api.deployment()]}, "expected_start_time": {"before_": now().isoformat()}}
    wanted = {"flow_runs": due, "sort": "EXPECTED_START_TIME_ASC"}
    by_time = [
        f"run_{run['id'].replace('-', '')}" for run in stack.prefect.post("/flow_runs/filter", json=wanted).json()
    ]
    begun = [api.detail(run)["startedAt"] for run in by_time]
    assert len(begun) == 4
    assert begun == sorted(begun)
    assert api.rows() == [(1, "a")] * 4


@pytest.mark.slow
def test_none_is_run_and_that_is_neither_failure_nor_lag(stack: RunningStack, hourly: Make) -> None:
    api = hourly("none")
    miss(stack, api.deployment(), 3)
    runs = all_ended(api, 3)
    assert all("skipReason" in run for run in runs)
    assert api.rows() == []
    [status] = [
        each
        for each in api.get("/scheduler-status", params={"limit": 100}).json()["data"]
        if each["pipelineId"] == api.pipeline
    ]
    assert status["schedule"]["catchup"] == "none"
    assert not status["lagSeconds"]
    found = api.get(f"/pipelines/{api.pipeline}").json()
    assert (found["status"], found["lastRunStatus"]) == ("draft", None)
    assert api.run()["status"] == "completed"  # asked for, it runs


@pytest.mark.slow  # Prefect's own worker starts a process for each run, and waits
def test_a_pool_of_prefects_own_workers_does_the_same(stack: RunningStack, hourly: Make, stock_pool: str) -> None:
    prefect = stack.prefect
    apis = {policy: hourly(policy) for policy in ("latest", "none", "all")}
    eventually(lambda: prefect.get(f"/work_pools/{stock_pool}").is_success or None)
    deployments = {policy: _on_another_pool(stack, api, stock_pool) for policy, api in apis.items()}
    for deployment in deployments.values():
        miss(stack, deployment, 2)

    def ended(deployment: str) -> list[dict[str, Any]] | None:
        due = {"deployment_id": {"any_": [deployment]}, "expected_start_time": {"before_": now().isoformat()}}
        wanted = {"flow_runs": due, "sort": "EXPECTED_START_TIME_ASC"}
        runs: list[dict[str, Any]] = prefect.post("/flow_runs/filter", json=wanted).json()
        return runs if {run["state"]["type"] for run in runs} <= {"COMPLETED", "CANCELLED"} else None

    for policy, kinds in (
        ("none", ["CANCELLED", "CANCELLED"]),
        ("latest", ["CANCELLED", "COMPLETED"]),
        ("all", ["COMPLETED", "COMPLETED"]),
    ):
        runs, api = eventually(partial(ended, deployments[policy])), apis[policy]
        assert [run["state"]["type"] for run in runs] == kinds
        assert api.rows() == [(1, "a")] * kinds.count("COMPLETED")
        done = [run["end_time"] for run in runs if run["state"]["type"] == "COMPLETED"]
        assert done == sorted(done)
        for run in runs:
            if run["state"]["type"] == "CANCELLED":
                assert run["state"]["message"].startswith("Skipped: ")
                assert "skipReason" in api.detail(f"run_{run['id'].replace('-', '')}")


def _on_another_pool(stack: RunningStack, api: Api, pool: str) -> str:
    own = stack.prefect.get(f"/deployments/{api.deployment()}").json()
    beside = {name: own[name] for name in ("flow_id", "entrypoint", "parameters", "parameter_openapi_schema", "tags")}
    beside |= {"name": "stock", "work_pool_name": pool, "pull_steps": []}
    beside |= {"schedules": [{"schedule": own["schedules"][0]["schedule"], "active": True}]}
    made: str = stack.prefect.post("/deployments/", json=beside).raise_for_status().json()["id"]
    return made
