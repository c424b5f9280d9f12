"""Whole runs through REST, Prefect and the worker: errors of bad input, and the state after a killed process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.conftest import RunningStack
from tests.rest import Api, eventually, process_of

pytestmark = pytest.mark.stack

Make = Callable[..., Api]


@pytest.fixture
def make(stack: RunningStack) -> Iterator[Make]:
    """Pipelines on the running stack."""
    made: list[Api] = []

    def build(*args: Any, **kwargs: Any) -> Api:
        made.append(Api(stack, *args, **kwargs))
        return made[-1].create()

    yield build
    for api in made:
        api.close()


def flow_run(api: Api, run_id: str) -> dict[str, Any]:
    """The run as Prefect has it."""
    found: dict[str, Any] = api.stack.prefect.get(f"/flow_runs/{run_id.removeprefix('run_')}", timeout=30).json()
    return found


def prefect_state(api: Api, run_id: str) -> dict[str, Any]:
    """Its final state there, which is set a moment after the run's end in the catalog."""

    def ended() -> dict[str, Any] | None:
        state: dict[str, Any] = flow_run(api, run_id)["state"]
        return state if state["type"] in ("COMPLETED", "FAILED") else None

    return eventually(ended)


def transform(*ops: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"id": "clean", "kind": "transform", "ops": list(ops)}]


EXPECTS_INTEGER = {"type": "expression", "field": "amount", "expression": "cast(note as int)"}


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        (None, {}, "does not exist"),
        ("", {}, "empty"),
        (b"amount,note\n" + b"1,\xff\xfe\n" * 50, {}, "encoding"),
        ('amount,"note\n1,a\n2,b\n3,c\n', {}, "quote"),
        ("amount,remark\n1,a\n", {}, "Column 'note' is not in"),
        ("amount,note\n1,a\n", {"nodes": transform({"type": "drop", "fields": ["noet"]}), "fields": None}, "'noet'"),
        (
            "amount,note\n1,a\n",
            {"nodes": transform({"type": "filter", "expression": "amuont > 1"}), "fields": None},
            "nodes[1].ops[0].expression: There is no column 'amuont' here (did you mean 'amount'?)",
        ),
        ("amount,note\n1,a\n", {"source": {"config": {"path": "../../etc/passwd"}}}, "not inside the files folder"),
        ("amount,note\n1,a\n", {"source": {"connector": "lokal_fs"}}, "lokal_fs"),
    ],
    ids=["missing", "empty", "encoding", "quote", "header", "drop", "expression", "jail", "connector"],
)
@pytest.mark.first_variant
def test_a_run_that_cannot_go_on_fails_with_a_sentence(
    make: Make, text: str | bytes | None, options: dict[str, Any], says: str
) -> None:
    api = make(text, **options)
    run_id = api.start()
    progress = api.finished(run_id)
    reason = api.detail(run_id)["failureReason"]
    assert progress["status"] == "failed"
    assert says in reason
    assert "Traceback" not in reason
    assert progress["log"][-1]["message"] == reason
    assert api.rows() == []
    state = prefect_state(api, run_id)
    assert (state["type"], state["message"]) == ("FAILED", reason)


def test_a_table_that_is_gone_is_named(make: Make) -> None:
    api = make()
    with psycopg.connect(api.stack.database_url) as connection:
        connection.execute(f"DROP TABLE {api.table}")
    run_id = api.start()
    assert api.finished(run_id)["status"] == "failed"
    assert f"{api.table} does not exist" in api.detail(run_id)["failureReason"]


@pytest.mark.parametrize(
    ("text", "nodes", "counts", "errors"),
    [
        (
            "amount,note\n1,a\n2\n3,c,d\n4,d\n",
            None,
            (4, 2, 2, 0),
            [(2, None, "Expected 2 fields, found 1"), (3, None, "Expected 2 fields, found 3")],
        ),
        (
            "amount,note\n1,a\n2.5,b\nthree,c\n",
            None,
            (3, 1, 2, 0),
            [(2, "amount", "Expected integer"), (3, "amount", "Expected integer")],
        ),
        ("amount,note\n1,7\n2,x\n", transform(EXPECTS_INTEGER), (2, 1, 1, 0), [(2, "amount", "Cannot be computed")]),
        (
            "amount,note\n1,a\n99999999999,b\n",
            transform({"type": "cast", "field": "amount", "to": "bigint"}),
            (2, 1, 1, 0),
            [(2, "amount", "Expected integer")],
        ),
        (b"amount,note\n" + b"1,fine \xc3\xa4\n" * 2000 + b"2,\xff\n", None, (2001, 2000, 1, 0), [(2001, None, "")]),
    ],
    ids=["ragged", "type", "expression", "overflow", "undecodable"],
)
@pytest.mark.first_variant
def test_bad_rows_are_reported_and_the_others_load(
    make: Make, text: str, nodes: Any, counts: tuple[int, ...], errors: list[tuple[int, str | None, str]]
) -> None:
    api = make(text, nodes=nodes)
    run_id = api.start()
    progress = api.finished(run_id)
    assert progress["status"] == "completed_with_errors"
    assert tuple(progress[key] for key in ("rowsIn", "rowsOut", "failedRows", "skippedRows")) == counts
    assert len(api.rows()) == progress["rowsOut"]
    reported = api.get(f"/pipelines/{api.pipeline}/runs/{run_id}/errors").json()
    assert reported["total"] == len(errors)
    for cell, (row, column, says) in zip(reported["errors"], errors, strict=True):
        assert (cell["row"], cell["column"]) == (row, column)
        assert cell["error"].startswith(says)
    state = prefect_state(api, run_id)
    assert (state["type"], state["name"]) == ("COMPLETED", "Completed")  # Prefect's pages hide runs with other names
    flow_run = api.stack.prefect.get(f"/flow_runs/{run_id.removeprefix('run_')}").json()
    assert "rows-failed" in flow_run["tags"]
    assert f"{counts[2]:,} failed" in state["message"]


def test_a_header_alone_completes_with_no_rows(make: Make) -> None:
    progress = make("amount,note\n").run()
    assert (progress["status"], progress["rowsIn"], progress["rowsOut"]) == ("completed", 0, 0)


def test_the_flow_deployment_and_tasks_bear_the_names_of_pipeline_and_nodes(make: Make) -> None:
    api = make("amount,note\n1,a\n", nodes=transform({"type": "cast", "field": "amount", "to": "bigint"}))
    run_id = api.start()
    assert api.finished(run_id)["status"] == "completed"
    prefect = api.stack.prefect
    deployment = prefect.get(f"/deployments/{api.deployment()}").json()
    assert deployment["name"] == api.name
    assert api.name in prefect.get(f"/flows/{deployment['flow_id']}").json()["name"]

    def task_names() -> list[str]:
        wanted = {"flow_runs": {"id": {"any_": [run_id.removeprefix("run_")]}}}
        return [task["name"] for task in prefect.post("/task_runs/filter", json=wanted).json()]

    # Prefect learns of a task from events, and of its name from one of the later ones.
    assert eventually(lambda: task_names() == ["src > clean > tgt [1/1]"] or None)


def test_a_run_killed_halfway_is_continued_by_prefects_retry_and_loses_and_doubles_nothing(make: Make) -> None:
    rows = 400_000
    text = "amount,note\n" + "".join(f"{number},a note of some length {number % 89}\n" for number in range(rows))
    api = make(text, execution={"parallelism": 2, "batchSize": 500})
    run_id = api.start()
    process = process_of(api, run_id)

    def halfway() -> int | None:
        ledger = api.rows(f"SELECT sum(rows_done) FROM _headrace.ledger WHERE root_run_id = '{run_id}'")[0][0]
        return int(ledger) if ledger and ledger > 20_000 else None

    eventually(lambda: _exists(api, "_headrace.ledger"))
    eventually(halfway)
    os.kill(process, signal.SIGKILL)
    assert api.finished(run_id)["status"] == "failed"
    (loaded,) = api.rows("SELECT count(*) FROM {table}")[0]
    assert 0 < loaded < rows
    ledger = api.rows(f"SELECT sum(rows_loaded) FROM _headrace.ledger WHERE root_run_id = '{run_id}'")[0][0]
    assert loaded == ledger

    again = {"state": {"type": "SCHEDULED", "name": "AwaitingRetry"}, "force": True}
    url = f"/flow_runs/{run_id.removeprefix('run_')}/set_state"
    assert api.stack.prefect.post(url, json=again).is_success
    progress = eventually(lambda: p if (p := api.progress(run_id))["status"].startswith("completed") else None)
    assert (progress["rowsIn"], progress["rowsOut"], progress["failedRows"]) == (rows, rows, 0)
    assert api.rows("SELECT count(*), count(DISTINCT amount), sum(amount) FROM {table}") == [
        (rows, rows, rows * (rows - 1) // 2)
    ]
    assert any("continues after" in line["message"] for line in progress["log"])


def _exists(api: Api, table: str) -> bool | None:
    return api.rows(f"SELECT to_regclass('{table}') IS NOT NULL")[0][0] or None


def test_a_source_that_has_other_columns_than_in_the_last_run_is_reported(make: Make) -> None:
    api = make("amount,note\n1,a\n", fields=None)
    first = api.start()
    assert api.finished(first)["status"] == "completed"
    api.file.write_text("amount,note,discount\n2.5,b,3\n")
    progress = api.run()
    changes = "amount is double, was integer, discount (integer) is new"
    reported = f"The source 'src' has other columns than in {first}: {changes}"
    assert reported in [line["message"] for line in progress["log"]]
    [source] = api.get(f"/pipelines/{api.pipeline}/sources").json()["data"]
    assert [each["name"] for each in source["columns"]] == ["amount", "note", "discount"]
    assert (source["foundBy"], source["lastRunId"]) == (api.runs()[0]["id"], api.runs()[0]["id"])


@pytest.mark.slow
def test_a_frozen_table_does_not_take_a_source_that_has_lost_a_column_since_the_last_run(make: Make) -> None:
    api = make("amount,note\n1,a\n", fields=None, target={"schemaContract": "freeze"})
    first = api.start()
    assert api.finished(first)["status"] == "completed"
    api.file.write_text("amount\n2\n")
    for _ in range(2):  # also the next run is compared with the last one that was planned
        second = api.start()
        assert api.finished(second)["status"] == "failed"
        reason = api.detail(second)["failureReason"]
        assert f"'src' ({api.file.name}) has no column 'note' any more" in reason
        assert f"in {first}" in reason
    assert api.rows() == [(1, "a")]
