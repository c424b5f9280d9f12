"""Runs through a real Prefect: started over REST, in Prefect itself, twice, and in vain."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import httpx
import psycopg
import pytest

pytestmark = pytest.mark.stack

_PATIENCE_S = 60


class Stack(Protocol):
    """What `tests/conftest.py` starts."""

    api_url: str
    api_key: str
    prefect_api_url: str
    database_url: str
    files_root: str


class Api(httpx.Client):
    """The facade with a pipeline that loads one small file of its own."""

    def __init__(self, stack: Stack, rows: str = "1,a\n2,b\nx,c\n") -> None:
        super().__init__(base_url=stack.api_url, headers={"X-API-Key": stack.api_key}, timeout=30)
        self.name = f"orders_{uuid4().hex[:8]}"
        self.file = Path(stack.files_root) / f"{self.name}.csv"
        self.file.write_text(f"amount,note\n{rows}")
        fields = [{"name": "amount", "dataType": "integer"}, {"name": "note", "dataType": "text"}]
        schema = self.make("/schemas", {"name": self.name, "displayName": self.name, "fields": fields})
        connector = self.make("/connectors", {"name": self.name, "type": "local_fs"})
        self.table = f"public.{schema['tableName']}"
        self.pipeline = self.make(
            "/pipelines",
            {
                "name": self.name,
                "connectorId": connector["id"],
                "schemaId": schema["id"],
                "irVersion": "1.0",
                "ir": self.ir(self.file.name, fields),
            },
        )["id"]

    def ir(self, path: str, fields: list[dict[str, str]]) -> dict[str, Any]:
        source = {"id": "src", "kind": "source", "connector": "local_fs", "fields": fields}
        return {
            "kind": "pipeline",
            "version": "1.0",
            "id": self.name,
            "metadata": {"name": self.name},
            "nodes": [
                source | {"config": {"path": path, "format": "csv"}},
                {"id": "tgt", "kind": "target", "input": "src", "schema": self.table, "loadMode": "append"},
            ],
        }

    def make(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        response = self.post(path, json=body)
        assert response.status_code == 201, response.text
        made: dict[str, Any] = response.json()
        return made

    def runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(f"/pipelines/{self.pipeline}/runs").json()
        return found

    def finished(self, run_id: str) -> dict[str, Any]:
        """The run's progress once it has ended."""

        def ended() -> dict[str, Any] | None:
            progress: dict[str, Any] = self.get(f"/pipelines/{self.pipeline}/runs/{run_id}/progress").json()
            return progress if progress["status"] not in ("pending", "running") else None

        return _eventually(ended)


def _eventually(look: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(0.1)
    raise AssertionError(f"nothing after {_PATIENCE_S} s")


@pytest.fixture
def api(stack: Stack) -> Iterator[Api]:
    api = Api(stack)
    yield api
    api.close()


def _deployment(stack: Stack, api: Api) -> str:
    tagged = {"deployments": {"tags": {"all_": [f"pipeline:{api.pipeline}"]}}}
    [deployment] = httpx.post(f"{stack.prefect_api_url}/deployments/filter", json=tagged).json()
    return str(deployment["id"])


def test_a_run_ends_with_its_counts_errors_and_table_in_agreement(stack: Stack, api: Api) -> None:
    run = api.make(f"/pipelines/{api.pipeline}/run", {})
    progress = api.finished(run["id"])
    assert progress["status"] == "completed_with_errors"
    assert (progress["rowsIn"], progress["rowsOut"], progress["failedRows"]) == (3, 2, 1)
    assert progress["validationErrors"] == [{"row": 3, "column": "amount", "value": "x", "error": "Expected integer"}]
    csv = api.get(f"/pipelines/{api.pipeline}/runs/{run['id']}/errors", headers={"Accept": "text/csv"})
    assert csv.text == "Row,Column,Value,Error\r\n3,amount,x,Expected integer\r\n"
    with psycopg.connect(stack.database_url) as connection:
        found = connection.execute(f"SELECT count(*), count(_headrace_load_id) FROM {api.table}").fetchone()
    assert found == (2, 2)
    [listed] = api.runs()
    assert (listed["id"], listed["status"], listed["createdAt"]) == (run["id"], progress["status"], run["createdAt"])
    pipeline = api.get(f"/pipelines/{api.pipeline}").json()
    assert (pipeline["status"], pipeline["lastRunStatus"]) == ("active", "completed_with_errors")


def test_a_run_started_in_prefect_itself_is_listed_and_can_be_watched(stack: Stack, api: Api) -> None:
    deployment = _deployment(stack, api)
    created = httpx.post(f"{stack.prefect_api_url}/deployments/{deployment}/create_flow_run", json={}).json()
    run_id = f"run_{created['id'].replace('-', '')}"
    assert [run["id"] for run in api.runs()] == [run_id]
    assert api.finished(run_id)["rowsOut"] == 2
    assert api.get(f"/pipelines/{api.pipeline}/runs/{run_id}").json()["irVersion"] == 1


def test_an_idempotency_key_starts_one_run(api: Api) -> None:
    headers = {"Idempotency-Key": "monday"}
    answers = [api.post(f"/pipelines/{api.pipeline}/run", headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 200, 200]
    assert len({answer.json()["id"] for answer in answers}) == len(api.runs()) == 1


def test_a_deployment_that_was_deleted_in_prefect_comes_back_with_the_next_run(stack: Stack, api: Api) -> None:
    assert httpx.delete(f"{stack.prefect_api_url}/deployments/{_deployment(stack, api)}").is_success
    run = api.make(f"/pipelines/{api.pipeline}/run", {})
    assert api.finished(run["id"])["rowsOut"] == 2
    assert _deployment(stack, api)


def test_a_run_whose_file_is_missing_fails_and_says_so(api: Api) -> None:
    api.file.unlink()
    run = api.make(f"/pipelines/{api.pipeline}/run", {})
    progress = api.finished(run["id"])
    assert (progress["status"], progress["rowsOut"], progress["eta"]) == ("failed", 0, None)
    reason = api.get(f"/pipelines/{api.pipeline}/runs/{run['id']}").json()["failureReason"]
    assert api.file.name in reason
    assert reason in [line["message"] for line in progress["log"]]
    assert "Traceback" not in str(progress)
    assert api.get(f"/pipelines/{api.pipeline}").json()["status"] == "draft"
