"""Prometheus metrics agree with the runs and requests."""

from __future__ import annotations

from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from headrace.api.app import BASE_PATH, create_app
from headrace.catalog.runs.records import RunStatus
from tests.api.conftest import Facade, LocalOrchestrator, created, error_of, settings_for

pytestmark = pytest.mark.postgres


def scrape(facade: Facade, **settings: object) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The metrics of a new application, which has nothing cached."""
    facts = facade.app.state.services.settings.model_copy(update=settings)
    client = TestClient(create_app(facts, orchestrator=LocalOrchestrator(), engine=facade.engine))
    client.get(f"{BASE_PATH}/pipelines/pipe_x", headers=facade.viewer.headers)
    text = client.get("/metrics").text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def labelled(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


def test_requests_are_counted_by_the_template_of_their_route(facade: Facade) -> None:
    route = f"{BASE_PATH}/pipelines/{{pipeline_id}}"
    found = scrape(facade)
    assert found[labelled("headrace_http_requests_total", method="GET", route=route, status="404")] == 1
    assert found[labelled("headrace_http_request_seconds_count", method="GET", route=route)] == 1
    assert "pipe_x" not in str(found)


def test_unknown_paths_and_methods_are_one_label(facade: Facade) -> None:
    client = TestClient(create_app(facade.app.state.services.settings, engine=facade.engine))
    for number in range(3):
        client.get(f"/nothing/{number}")
        client.request(f"M{number}", "/nothing")
    text = client.get("/metrics").text
    assert 'headrace_http_requests_total{method="GET",route="unmatched",status="404"} 3.0' in text
    assert 'headrace_http_requests_total{method="other",route="unmatched",status="404"} 3.0' in text


def test_runs_rows_and_partitions_are_those_that_happened(facade: Facade) -> None:
    pipeline = facade.pipeline()
    before = scrape(facade)
    store = facade.store

    def run(retry_of: str | None, root: str | None, rows: list[int], status: RunStatus | None) -> str:
        run_id = f"run_{uuid4().hex}"
        facts = {"pipeline_id": pipeline["id"], "ir_version": 1, "retry_of": retry_of, "load_strategy": "append"}
        store.open(run_id, tenant_id="default", root_run_id=root or run_id, status="running", **facts)
        store.started(run_id, total_rows=100, fingerprint={}, plan={}, partitions=[(0, 0, 100)])
        counts = dict(zip(("rows_in", "rows_out", "failed", "skipped"), rows, strict=True))
        zero = {"rows_in": 0, "rows_out": 0, "failed": 0, "skipped": 0}
        store.counts.report(run_id, 0, 0, status="running", **zero, nodes={})
        store.counts.report(run_id, 0, 0, status="completed" if status else "running", **counts, nodes={})
        if status is not None:
            store.finished(run_id, status=status, failure_reason=None)
        return run_id

    failed = run(None, None, [40, 30, 10, 0], "failed")
    run(failed, failed, [100, 85, 14, 1], "completed_with_errors")  # counts are of the whole chain of retries
    run(None, None, [7, 5, 2, 0], None)  # still running
    waiting = created(facade.editor, f"{BASE_PATH}/pipelines/{pipeline['id']}/run", {})
    after = scrape(facade)

    def grew(name: str, **labels: str) -> float:
        key = labelled(name, **labels)
        return after[key] - before[key]

    assert grew("headrace_runs_total", status="failed") == 1
    assert grew("headrace_runs_total", status="completed_with_errors") == 1
    assert grew("headrace_runs_total", status="completed") == 0
    assert grew("headrace_runs_unfinished", status="running") == 1
    assert grew("headrace_runs_unfinished", status="pending") == 1
    assert waiting["status"] == "pending"
    rows = {each: grew("headrace_rows_total", outcome=each) for each in ("in", "out", "failed", "skipped")}
    assert rows == {"in": 107, "out": 90, "failed": 16, "skipped": 1}
    assert grew("headrace_partition_seconds_count") == 2
    assert (
        after[labelled("headrace_partition_seconds_bucket", le="+Inf")]
        == after[labelled("headrace_partition_seconds_count")]
    )
    assert after[labelled("headrace_queue_lag_seconds")] > 0
    # deleting the pipeline does not lower the counters
    assert (
        facade.editor.delete(f"{BASE_PATH}/pipelines", params={"id": pipeline["id"], "force": True}).status_code == 204
    )
    gone = scrape(facade)
    assert (
        gone[labelled("headrace_rows_total", outcome="in")] == after[labelled("headrace_rows_total", outcome="in")] - 7
    )


def test_without_a_database_there_are_still_metrics() -> None:
    settings = settings_for("postgresql://postgres@127.0.0.1:1/nothing")
    client = TestClient(create_app(settings, orchestrator=LocalOrchestrator()))
    assert "headrace_catalog_up 0.0" in client.get("/metrics").text


def test_metrics_can_be_taken_away_or_need_a_token(facade: Facade) -> None:
    settings = facade.app.state.services.settings
    off = TestClient(create_app(settings.model_copy(update={"metrics": "off"}), engine=facade.engine))
    error_of(off.get("/metrics"), 404)
    guarded = settings_for("postgresql:///x", metrics_token="scrape me")
    client = TestClient(create_app(guarded, orchestrator=LocalOrchestrator(), engine=facade.engine))
    error_of(client.get("/metrics"), 401)
    error_of(client.get("/metrics", headers={"Authorization": "Bearer wrong"}), 401)
    assert client.get("/metrics", headers={"Authorization": "Bearer scrape me"}).status_code == 200
