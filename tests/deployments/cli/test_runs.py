"""The commands of runs, without runs; `test_end_to_end` tests them with runs."""

from __future__ import annotations

import json

import pytest

from headrace.catalog.runs.records import DatasetRuleOutcome
from headrace.deployments.cli.options import complete_pipeline
from headrace.deployments.errors import HeadraceError
from tests.api.conftest import Facade
from tests.deployments.cli.conftest import Terminal

pytestmark = pytest.mark.postgres


def failed_run(facade: Facade, headrace: Terminal) -> str:
    started = json.loads(headrace("run", "orders", "--json").stdout)["id"]
    facade.store.started(started, total_rows=2, fingerprint={}, plan={}, partitions=[(0, 0, 2)])
    facade.store.finished(started, status="failed", failure_reason="the disk is full")
    return str(started)


def test_a_pipeline_is_found_by_name_and_by_id_and_the_nearest_is_named(headrace: Terminal, facade: Facade) -> None:
    made = facade.pipeline("orders")
    facade.pipeline("orders of others")
    for name in ("orders", made["id"]):
        run = json.loads(headrace("run", name, "--json").stdout)
        assert run["pipelineId"] == made["id"]
    assert "There is no pipeline 'ordres'" in headrace.fails("run", "ordres")
    assert "There is no pipeline 'pipe_0'" in headrace.fails("run", "pipe_0")


def test_parameters_version_and_key_reach_the_run(headrace: Terminal, facade: Facade) -> None:
    facade.pipeline("orders")
    first = headrace("run", "orders", "--idempotency-key", "monday", "--ir-version", "1").stdout
    assert headrace("run", "orders", "--idempotency-key", "monday").stdout == first
    assert "No node uses the parameter 'day'" in headrace.fails("run", "orders", "-p", "day=2026-01-01")
    headrace("run", "orders", "-p", "day", code=2)


def test_runs_are_listed_for_people_and_programs(headrace: Terminal, facade: Facade) -> None:
    facade.pipeline("orders")
    run_id = failed_run(facade, headrace)
    assert run_id in headrace("runs", "orders").stdout
    [run] = json.loads(headrace("runs", "orders", "--json").stdout)
    assert (run["id"], run["status"]) == (run_id, "failed")
    [pipeline] = json.loads(headrace("runs", "--json").stdout)
    assert (pipeline["name"], pipeline["lastRunStatus"]) == ("orders", "failed")
    assert "orders" in headrace("runs").stdout


def test_cancelling_takes_the_newest_run_and_says_when_there_is_none(headrace: Terminal, facade: Facade) -> None:
    facade.pipeline("orders")
    assert "has not run yet" in headrace.fails("cancel", "orders")
    run_id = headrace("run", "orders").stdout.strip()
    assert json.loads(headrace("cancel", "orders", "--json").stdout)["id"] == run_id
    assert facade.orchestrator.states[run_id].failure_reason == "cancelled"


@pytest.mark.parametrize(("on_fail", "hint"), [("abort", "reads all rows again"), ("warn", "continues after")])
def test_a_watched_run_that_failed_says_what_helps(headrace: Terminal, facade: Facade, on_fail: str, hint: str) -> None:
    facade.pipeline("orders")
    run = ("run", "orders", "--idempotency-key", "monday")
    run_id = json.loads(headrace(*run, "--json").stdout)["id"]
    broken = DatasetRuleOutcome(
        "check", "nodes[1].datasetLevel.rowCount", "1 row", "0 rows", holds=False, on_fail=on_fail
    )
    facade.store.started(run_id, total_rows=0, fingerprint={}, plan={}, partitions=[(0, 0, 0)])
    facade.store.rules.evaluated(run_id, [broken])
    facade.store.finished(run_id, status="failed", failure_reason="no rows")
    ended = headrace(*run, "--watch", code=1).exception
    assert isinstance(ended, HeadraceError)
    assert "no rows" in ended.message
    assert hint in ended.hint
    reported = headrace("errors", "orders").stderr
    assert "the run failed: no rows" in reported
    assert "no row was rejected" in reported


def test_a_watched_run_that_ended_before_its_plan_is_not_said_to_continue(headrace: Terminal, facade: Facade) -> None:
    facade.pipeline("orders")
    run = ("run", "orders", "--idempotency-key", "monday")
    run_id = json.loads(headrace(*run, "--json").stdout)["id"]
    facade.store.finished(run_id, status="failed", failure_reason="orders.csv is not there")
    ended = headrace(*run, "--watch", code=1).exception
    assert isinstance(ended, HeadraceError)
    assert "start a new run" in ended.hint


def test_a_watched_run_that_somebody_cancelled_is_not_said_to_have_failed(headrace: Terminal, facade: Facade) -> None:
    facade.pipeline("orders")
    run = ("run", "orders", "--idempotency-key", "monday")
    run_id = json.loads(headrace(*run, "--json").stdout)["id"]
    facade.store.finished(run_id, status="failed", failure_reason="cancelled")
    ended = headrace(*run, "--watch", code=1).exception
    assert isinstance(ended, HeadraceError)
    assert (ended.message, "`headrace retry`" in ended.hint) == ("The run was cancelled.", True)


def test_names_of_pipelines_complete_in_the_shell_and_nobody_there_completes_nothing(
    headrace: Terminal, facade: Facade
) -> None:
    class Context:
        params = {"url": headrace.url, "api_key": headrace.api_key, "data_dir": None}

    facade.pipeline("orders")
    facade.pipeline("bills")
    assert complete_pipeline(Context(), "ord") == ["orders"]  # type: ignore[arg-type]
    Context.params = {"url": "http://127.0.0.1:9", "api_key": "x", "data_dir": None}
    assert complete_pipeline(Context(), "ord") == []  # type: ignore[arg-type]
