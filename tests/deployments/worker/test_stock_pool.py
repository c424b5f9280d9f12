"""A pipeline's flow also runs on a pool of Prefect's own process workers."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from tests.conftest import RunningStack
from tests.deployments.stock_pools import Prefect, cli, stock_pool
from tests.rest import Api, eventually

pytestmark = [pytest.mark.stack, pytest.mark.slow]

__all__ = ["cli", "stock_pool"]


def beside(api: Api, **changes: Any) -> dict[str, Any]:
    """A second deployment of the pipeline's flow."""
    prefect = api.stack.prefect
    own = prefect.get(f"/deployments/{api.deployment()}").json()
    wanted = {name: own[name] for name in ("flow_id", "entrypoint", "parameters", "parameter_openapi_schema")}
    made = prefect.post("/deployments/", json={**wanted, "pull_steps": [], **changes}).raise_for_status().json()
    return {**made, "flow": prefect.get(f"/flows/{own['flow_id']}").json()["name"]}


def ended(api: Api, run: str) -> str:
    """The name of the state that the run ends in."""

    def state() -> str | None:
        found = api.stack.prefect.get(f"/flow_runs/{run}").json()["state"]
        return str(found["name"]) if found["type"] not in ("SCHEDULED", "PENDING", "RUNNING") else None

    return eventually(state)


def test_a_run_on_a_stock_worker_loads_what_one_on_ours_does(
    stack: RunningStack, stock_pool: str, cli: Prefect
) -> None:
    with closing(Api(stack).create()) as api:
        eventually(lambda: stack.prefect.get(f"/work_pools/{stock_pool}").is_success or None)
        deployment = beside(api, name="stock", work_pool_name=stock_pool)
        cli("deployment", "run", f"{deployment['flow']}/stock")
        wanted = {"deployments": {"id": {"any_": [deployment["id"]]}}}
        [run] = stack.prefect.post("/flow_runs/filter", json=wanted).json()
        assert ended(api, run["id"]) == "Completed"
        assert api.rows() == [(1, "a"), (2, "b")]
        assert api.detail(f"run_{run['id'].replace('-', '')}")["statistics"]["failedRows"] == 1


def test_the_command_that_prefect_gives_to_a_container_runs_it(stack: RunningStack, cli: Prefect) -> None:
    with closing(Api(stack).create()) as api:
        deployment = beside(api, name="container")["id"]
        run = stack.prefect.post(f"/deployments/{deployment}/create_flow_run", json={}).raise_for_status().json()
        cli("flow-run", "execute", run["id"])
        assert ended(api, run["id"]) == "Completed"
        assert api.rows() == [(1, "a"), (2, "b")]
