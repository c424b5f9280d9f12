"""Targets that are APIs in whole pipelines: plans, previews, other targets, cursors, failed rows that run again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.connectors.errors import TargetError
from headrace.flows.dry_run.plan import plan_run
from headrace.flows.dry_run.preview import preview
from headrace.flows.lineage.declared import declared_lineage
from headrace.flows.lineage.openlineage.datasets import planned_columns
from headrace.flows.resume.continuation import Continuation
from headrace.flows.resume.failed_rows import find_open_rows
from headrace.flows.resume.stored_plan import StoredPlan
from headrace.flows.runtime.errors import PlanFailed
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.stored_plan import stored_plan
from headrace.ir import parse_ir
from tests.connectors.http.api_server import ApiServer, Failure, numbered
from tests.connectors.http.opening import paged
from tests.connectors.http.taking import Taking
from tests.connectors.http.target.sending import PATH, config, job_of, nodes, run, write
from tests.flows.runtime.runs import Runner

pytestmark = pytest.mark.postgres


@pytest.fixture
def runner(tmp_path: Path, database_url: str) -> Runner:
    write(tmp_path, [(number, f"n{number}") for number in range(1, 31)])
    return Runner(tmp_path, database_url)


def test_plan_and_preview_show_the_request_and_send_nothing(api: ApiServer, runner: Runner) -> None:
    record = {"id": {"$field": "id", "type": "bigint"}, "name": {"$field": "name", "nulls": "reject"}}
    write(runner.files, [(1, "a"), (2, None)])
    job = job_of(runner, api, nodes(config(record=record), mapping={"name": "name"}))
    [target] = plan_run(job).targets
    assert "POST" in target.sql
    assert "/in: up to 10 records" in target.sql
    assert "made of id, name" in target.sql
    assert "t-123456" not in target.sql
    shown = {each.node: each for each in preview(job, rows=10)}["out"]
    assert shown.rows_out == 1
    assert api.asked == []


def test_lineage_has_the_columns_that_are_sent(api: ApiServer, runner: Runner) -> None:
    listed = nodes(config())
    listed[0]["fields"] = [{"name": "id", "dataType": "bigint"}, {"name": "name", "dataType": "text"}]
    job = job_of(runner, api, listed)
    parsed = parse_ir(job.pipeline.ir).ir
    assert parsed is not None
    found = declared_lineage(parsed, {})
    assert not found.unknown
    assert [column.name for column in found.targets[0].columns] == ["id", "name"]
    assert [field.name for field in planned_columns(prepare(job)).schemas["out"]] == ["id", "name"]


def test_a_table_and_an_api_get_the_same_rows(api: ApiServer, runner: Runner) -> None:
    taking = Taking(bad=lambda record: "no" if record["id"] == 7 else None).put(api, PATH)
    with psycopg.connect(runner.url) as connection:
        connection.execute("CREATE TABLE public.ds_rows (id bigint, name text)")
    table = {"id": "tgt", "kind": "target", "input": "src", "schema": "public.ds_rows"}
    run(job_of(runner, api, [*nodes(config()), table]), runner)
    with psycopg.connect(runner.url) as connection:
        assert connection.execute("SELECT count(*) FROM public.ds_rows").fetchone() == (30,)
    assert len(taking.taken) == 29


@pytest.mark.parametrize("apart", [False, True])
def test_the_cursor_of_the_source_moves_with_the_rows_that_are_sent(
    api: ApiServer, runner: Runner, *, apart: bool
) -> None:
    """Also where rows come by another stage."""
    taking = Taking().put(api, PATH)
    api.records["orders"] = numbered(40)
    reads = paged("token", cursor={"field": "at"}, params={"since": "{cursor}"})
    source = {"id": "src", "kind": "source", "connector": "rest_api", "connection": "api", "config": reads}
    distinct = {"id": "dd", "kind": "transform", "input": "src", "ops": [{"type": "deduplicate", "keys": ["id"]}]}
    [_, target] = nodes(config(record={"id": {"$field": "id", "type": "bigint"}}), input="dd" if apart else "src")
    listed = [source, *([distinct] if apart else []), target]
    run(job_of(runner, api, listed), runner)
    assert sorted(each["id"] for each in taking.taken) == [*range(1, 41)]
    api.records["orders"] += numbered(5, begin=41)
    taking.taken.clear()
    run(job_of(runner, api, listed), runner)
    assert sorted(each["id"] for each in taking.taken) == [*range(41, 46)]


def test_failed_rows_run_again_and_are_sent_once(api: ApiServer, runner: Runner) -> None:
    taking = Taking(bad=lambda record: "no" if record["id"] in (4, 5) else None).put(api, PATH)
    job = job_of(runner, api, nodes(config()))
    assert run(job, runner).failed == 2
    stored = json.loads(json.dumps(stored_plan(prepare(job))))
    failed = {(0, 0, "out"): {row for _, row, *_ in runner.recorder.cells}}
    taking.bad = lambda record: None
    taking.taken.clear()

    def replay(run_id: str) -> Any:
        again = Continuation(
            run_id,
            retry_of=job.run_id,
            origin_run_id=job.root_run_id,
            earlier_plan=stored,
            open_rows=find_open_rows(StoredPlan.of(stored), failed, []),
        )
        return replace(job, run_id=run_id, continues=again)

    assert run(replay("run_2"), runner).rows_out == 2
    assert [each["id"] for each in taking.taken] == [4, 5]
    with pytest.raises(TargetError) as caught:  # another one that was planned at the same time
        run(replay("run_3"), runner)
    assert caught.value.code == "replayed_elsewhere"
    assert len(taking.taken) == 2


def test_a_run_that_the_database_leaves_goes_on_and_sends_nothing_twice(api: ApiServer, runner: Runner) -> None:
    taking = Taking().put(api, PATH)

    def cut(number: int) -> None:
        if number == 2:
            with psycopg.connect(runner.url) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                    "AND datname = current_database()"
                )

    taking.after = cut
    assert run(job_of(runner, api, nodes(config())), runner).rows_out == 30
    assert [each["id"] for each in taking.taken] == [*range(1, 31)]


def test_too_many_rejected_rows_end_the_run_and_what_was_sent_is_known(api: ApiServer, runner: Runner) -> None:
    taking = Taking(bad=lambda record: "no" if record["id"] % 2 else None).put(api, PATH)
    job = job_of(runner, api, nodes(config()))
    limited = {**job.pipeline.ir, "errorHandling": {"maxErrorRows": 3}}
    job = replace(job, pipeline=replace(job.pipeline, ir=limited))
    with pytest.raises(Exception, match="3"):
        run(job, runner)
    sent = len(taking.requests)
    with psycopg.connect(runner.url) as connection:
        found = connection.execute("SELECT DISTINCT state FROM _headrace.sent_requests").fetchall()
    assert found == [("answered",)]
    stored = json.loads(json.dumps(stored_plan(prepare(job))))
    raised = {**job.pipeline.ir, "errorHandling": {"maxErrorRows": 100}}
    more = replace(job, pipeline=replace(job.pipeline, ir=raised), run_id="run_2")
    more = replace(more, continues=Continuation(root_run_id=job.root_run_id, earlier_plan=stored))
    totals = run(more, runner)
    assert (totals.rows_out, totals.failed) == (15, 15)
    assert len(taking.requests) == sent


def test_a_wait_has_a_reason(api: ApiServer, runner: Runner) -> None:
    """What the state of a run shows while it waits."""
    from headrace.connectors.http import waits

    seen: list[str | None] = []
    waits.wait(lambda seconds: seen.append(waits.reason()), "POST http://x: the API answered 429: slow down", 5)
    assert seen[0] is not None
    assert seen[0].startswith("POST http://x: the API answered 429: slow down; the next request is at ")
    assert waits.reason() is None
    api.failures = [Failure(503, {"Retry-After": "0"})] * 3
    Taking().put(api, PATH)
    assert run(job_of(runner, api, nodes(config())), runner).rows_out == 30


def test_parameters_of_a_run_are_filled_in_and_checked_again(api: ApiServer, runner: Runner) -> None:
    taking = Taking().put(api, "/in/eu")
    record = {"id": {"$field": "id"}, "from": "{{who}}"}
    job = job_of(runner, api, nodes(config(path="/in/{{place}}", record=record)))
    run(replace(job, parameters={"place": "eu", "who": '"$field"'}), runner)
    assert taking.taken[0] == {"id": "1", "from": '"$field"'}
    with pytest.raises(PlanFailed, match="leaves its folder"):
        run(replace(job, parameters={"place": "../x", "who": "a"}), runner)
