"""Streaming pipelines over REST: what cannot stream is refused, one run at a time, how far it is behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace.catalog.runs.records import SourceLag
from tests.api.conftest import IR, Facade, created, error_of

pytestmark = pytest.mark.postgres

STREAM = {"mode": "streaming"}
BASE = "/api/v1/pipelines"


def table(**config: Any) -> dict[str, Any]:
    """A document that reads a table."""
    config = {"table": "public.orders", **config}
    source = {"id": "src", "kind": "source", "connector": "postgresql", "config": config, "connection": "db"}
    return {**IR, "nodes": [source, IR["nodes"][1]]}


def streaming(facade: Facade, **body: Any) -> dict[str, Any]:
    place = {"host": "db.example.org", "port": 5432, "database": "d"}
    login = {"username": "u", "password": "hunter2"}
    created(
        facade.editor, "/api/v1/connectors", {"name": "db", "type": "postgresql", "config": place, "authConfig": login}
    )
    return facade.pipeline(ir=table(cursor={"column": "id"}), executionConfig=STREAM, **body)


def test_a_file_cannot_be_streamed_and_the_remedy_is_said(facade: Facade) -> None:
    made = facade.pipeline()
    answer = facade.editor.put(BASE, json={"id": made["id"], "executionConfig": STREAM})
    error = error_of(answer, 400)
    assert [(each["path"], each["code"]) for each in error["details"]] == [("nodes[0].config", "not_streamable")]
    assert "micro_batch with a schedule" in error["details"][0]["hint"]
    assert facade.editor.get(f"{BASE}/{made['id']}").json()["executionConfig"] == {}


def test_a_new_version_has_to_be_one_that_can_be_streamed(facade: Facade) -> None:
    made = streaming(facade)
    path = f"{BASE}/{made['id']}/ir"
    error = error_of(facade.editor.post(path, json={"ir": table()}), 400)
    assert error["details"][0]["code"] == "not_streamable"
    replaces = table(cursor={"column": "id"})
    replaces["nodes"][1] = {**replaces["nodes"][1], "loadMode": "truncate"}
    error = error_of(facade.editor.post(f"{path}?confirm=true", json={"ir": replaces}), 400)
    assert [each["path"] for each in error["details"]] == ["nodes[1].loadMode"]


def test_a_stream_has_no_earlier_runs_whose_rows_could_be_compared(facade: Facade) -> None:
    made = streaming(facade)
    document = table(cursor={"column": "id"})
    anomaly = {"maxDeviationPct": 50}
    check = {"id": "v", "kind": "validate", "input": "src", "datasetLevel": {"rowCountAnomaly": anomaly}}
    document["nodes"] = [document["nodes"][0], check, {**document["nodes"][1], "input": "v"}]
    error = error_of(facade.editor.post(f"{BASE}/{made['id']}/ir", json={"ir": document}), 400)
    [detail] = error["details"]
    assert (detail["path"], detail["code"]) == ("nodes[1].datasetLevel.rowCountAnomaly", "not_streamable")
    assert "maxLagSeconds" in detail["hint"]


def test_a_stream_has_no_schedule(facade: Facade) -> None:
    made = streaming(facade)
    error = error_of(facade.editor.put(BASE, json={"id": made["id"], "schedule": "* * * * *"}), 400)
    assert [each["path"] for each in error["details"]] == ["schedule"]


@pytest.mark.parametrize(
    "config", [{"rolloverSeconds": 60}, {"mode": "micro_batch", "maxLagSeconds": 60}, {**STREAM, "rolloverSeconds": 1}]
)
def test_what_is_for_streams_is_for_them_alone(facade: Facade, config: dict[str, Any]) -> None:
    made = facade.pipeline()
    error_of(facade.editor.put(BASE, json={"id": made["id"], "executionConfig": config}), 400)


def test_a_pipeline_streams_once(facade: Facade) -> None:
    made = streaming(facade)
    path = f"{BASE}/{made['id']}/run"
    first = facade.editor.post(path, json={})
    assert first.status_code == 201, first.text
    run_id = first.json()["id"]
    error = error_of(facade.editor.post(path, json={}), 409)
    assert run_id in error["message"]
    facade.store.finished(run_id, status="completed", failure_reason=None)
    assert facade.editor.post(path, json={}).status_code == 201


def test_the_progress_says_how_far_the_stream_is_behind(facade: Facade) -> None:
    made = streaming(facade)
    run_id = facade.editor.post(f"{BASE}/{made['id']}/run", json={}).json()["id"]
    facts: dict[str, Any] = {"tenant_id": "default", "pipeline_id": made["id"], "ir_version": 1, "retry_of": None}
    facade.store.open(run_id, root_run_id=run_id, load_strategy="append", status="running", streams=True, **facts)
    facade.store.streams.looked(run_id, {"src": SourceLag(7, datetime.now(UTC) - timedelta(seconds=30))})
    path = f"{BASE}/{made['id']}/runs/{run_id}/progress"
    told = facade.viewer.get(path).json()
    assert told["lag"]["src"]["rows"] == 7
    assert 30 <= told["lag"]["src"]["seconds"] < 600
    assert told["eta"] is None
    facade.store.finished(run_id, status="completed", failure_reason=None)
    assert facade.viewer.get(path).json()["lag"] == {"src": {"rows": 7, "seconds": None}}


def test_other_runs_have_no_lag(facade: Facade) -> None:
    made = facade.pipeline()
    run_id = facade.editor.post(f"{BASE}/{made['id']}/run", json={}).json()["id"]
    assert "lag" not in facade.viewer.get(f"{BASE}/{made['id']}/runs/{run_id}/progress").json()


def test_a_stream_that_fails_again_and_again_is_an_issue_of_its_pipeline(facade: Facade) -> None:
    made = streaming(facade)
    assert facade.viewer.get(f"{BASE}/{made['id']}").json()["issues"] == []
    for _ in range(2):
        run_id = facade.editor.post(f"{BASE}/{made['id']}/run", json={}).json()["id"]
        facade.store.finished(run_id, status="failed", failure_reason="there is no table")
    [issue] = facade.viewer.get(f"{BASE}/{made['id']}").json()["issues"]
    assert issue["code"] == "stream_fails"
    assert "2 times in a row" in issue["message"]
    assert "there is no table" in issue["message"]
