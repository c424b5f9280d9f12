"""Runs with a real Prefect: started over REST, in Prefect itself, twice with one key, and without success."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.conftest import RunningStack
from tests.rest import Api

pytestmark = pytest.mark.stack


@pytest.fixture
def api(stack: RunningStack) -> Iterator[Api]:
    api = Api(stack).create()
    yield api
    api.close()


def test_a_run_ends_with_its_counts_errors_and_table_in_agreement(stack: RunningStack, api: Api) -> None:
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
    connector = api.get(f"/connectors/{pipeline['connectorId']}").json()
    assert connector["lastSyncRowCount"] == 3
    assert connector["lastSyncAt"] is not None


def test_a_run_started_in_prefect_itself_is_listed_and_can_be_watched(stack: RunningStack, api: Api) -> None:
    deployment = api.deployment()
    created = stack.prefect.post(f"/deployments/{deployment}/create_flow_run", json={}, timeout=30).json()
    run_id = f"run_{created['id'].replace('-', '')}"
    assert [run["id"] for run in api.runs()] == [run_id]
    assert api.finished(run_id)["rowsOut"] == 2
    assert api.get(f"/pipelines/{api.pipeline}/runs/{run_id}").json()["irVersion"] == 1


def test_an_idempotency_key_starts_one_run(api: Api) -> None:
    headers = {"Idempotency-Key": "monday"}
    answers = [api.post(f"/pipelines/{api.pipeline}/run", headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 200, 200]
    assert len({answer.json()["id"] for answer in answers}) == len(api.runs()) == 1


def test_a_deployment_that_was_deleted_in_prefect_comes_back_with_the_next_run(stack: RunningStack, api: Api) -> None:
    assert stack.prefect.delete(f"/deployments/{api.deployment()}", timeout=30).is_success
    run = api.make(f"/pipelines/{api.pipeline}/run", {})
    assert api.finished(run["id"])["rowsOut"] == 2
    assert api.deployment()


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
