"""A pipeline's flow also runs on a pool of Prefect's own process workers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from deployments.stack.environment import base_environment, prefect_client_environment
from tests.conftest import RunningStack
from tests.rest import Api, eventually

pytestmark = pytest.mark.stack


@pytest.fixture
def stock_pool(stack: RunningStack, tmp_path: Path) -> Iterator[str]:
    """The name of a pool that `prefect worker start --type process` serves."""
    pool = f"stock-{uuid4().hex[:8]}"
    environment = base_environment() | prefect_client_environment(tmp_path / "home", stack.prefect_api_url)
    environment |= {
        "HEADRACE_DATABASE_URL": stack.database_url,
        "HEADRACE_FILES_ROOT": str(stack.files_root),
        "HEADRACE_KEY_PEPPER": "only the facade needs the real one",
    }
    command = [sys.executable, "-P", "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process"]
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield pool
    finally:
        worker.terminate()
        worker.wait(60)


def test_a_run_on_a_stock_worker_loads_what_one_on_ours_does(stack: RunningStack, stock_pool: str) -> None:
    with closing(Api(stack).create()) as api, httpx.Client(base_url=stack.prefect_api_url, timeout=30) as prefect:
        own = prefect.get(f"/deployments/{api.deployment()}").json()
        wanted = {name: own[name] for name in ("flow_id", "entrypoint", "parameters", "parameter_openapi_schema")}
        eventually(lambda: prefect.get(f"/work_pools/{stock_pool}").is_success or None)
        beside = {**wanted, "name": "stock", "work_pool_name": stock_pool, "pull_steps": []}
        deployment = prefect.post("/deployments/", json=beside).raise_for_status().json()
        run = prefect.post(f"/deployments/{deployment['id']}/create_flow_run", json={}).raise_for_status().json()

        def ended() -> str | None:
            state = prefect.get(f"/flow_runs/{run['id']}").json()["state"]
            return str(state["name"]) if state["type"] not in ("SCHEDULED", "PENDING", "RUNNING") else None

        assert eventually(ended) == "CompletedWithErrors"
        assert api.rows() == [(1, "a"), (2, "b")]
        assert api.detail(f"run_{run['id'].replace('-', '')}")["statistics"]["failedRows"] == 1
