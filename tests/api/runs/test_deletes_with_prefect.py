"""Rows that are deleted in a database, over REST and Prefect: counted in the run, its log, its task and its report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.conftest import RunningStack, started_stack
from tests.connectors.sql.postgresql.shop import Shop, server, shop
from tests.rest import Api, eventually

__all__ = ["server", "shop"]

pytestmark = [pytest.mark.stack, pytest.mark.slow]

FIELDS = [
    {"name": "id", "dataType": "bigint", "isPrimaryKey": True},
    {"name": "name", "dataType": "text"},
    {"name": "v", "dataType": "bigint"},
]


@pytest.fixture(scope="module")
def dialling_stack() -> Iterator[RunningStack]:
    """A stack whose operator allows loopback."""
    with started_stack(HEADRACE_CONNECTOR_NETWORKS='["127.0.0.0/8", "::1/128"]') as stack:
        yield stack


@pytest.fixture
def api(dialling_stack: RunningStack, shop: Shop) -> Iterator[Api]:
    """A pipeline that copies the table `shop.t`, by its key, and removes what is deleted there."""
    shop.make("CREATE TABLE t (id bigint PRIMARY KEY, name text, v bigint)")
    shop.make("INSERT INTO t SELECT n, 'n' || n, n FROM generate_series(1, 10) AS n")
    made = Api(dialling_stack, None)
    with closing(made):
        schema = made.make("/schemas", {"name": f"{made.name}_db", "displayName": "db", "fields": FIELDS})
        given = {"name": f"{made.name}_db", "type": "postgresql"}
        connector = made.make("/connectors", {**given, "config": shop.config, "authConfig": shop.credentials})
        made.table = f"public.{schema['tableName']}"
        made.body |= {"connectorId": connector["id"], "schemaId": schema["id"]}
        source = {"id": "src", "kind": "source", "connector": "postgresql"}
        made.body["ir"]["nodes"] = [
            {**source, "config": {"table": "shop.t", "cursor": {"column": "v"}}},
            {
                **{"id": "tgt", "kind": "target", "input": "src", "schema": made.table},
                **{"loadMode": "upsert", "upsertKey": "id", "deletes": {"maxShare": 0.4}},
            },
        ]
        yield made.create()


def counters(api: Api, run_id: str) -> dict[str, int]:
    [found] = [each for each in api.detail(run_id)["nodeResults"] if each["nodeId"] == "tgt"]
    return dict(found["counters"])


def of_prefect(api: Api, path: str, kind: str, run_id: str) -> list[dict[str, Any]]:
    wanted = {kind: {"flow_run_id": {"any_": [run_id.removeprefix("run_")]}}}
    if kind == "task_runs":
        wanted = {"flow_runs": {"id": {"any_": [run_id.removeprefix("run_")]}}}
    found: list[dict[str, Any]] = api.stack.prefect.post(path, json=wanted, timeout=30).json()
    return found


def report(api: Api, run_id: str) -> str:
    def found() -> str | None:
        shown = of_prefect(api, "/artifacts/filter", "artifacts", run_id)
        return next((json.dumps(each["data"]) for each in shown if each["key"].endswith("-report")), None)

    return eventually(found)


def test_deletes_are_counted_in_the_run_its_task_and_its_report(api: Api, shop: Shop) -> None:
    first = api.start()
    assert api.finished(first)["rowsOut"] == 10
    assert counters(api, first)["deleted"] == 0
    shop.make("DELETE FROM t WHERE id IN (2, 7, 9)", "INSERT INTO t VALUES (11, 'new', 11)")
    run_id = api.start()
    progress = api.finished(run_id)
    assert (progress["status"], progress["rowsIn"], progress["rowsOut"]) == ("completed", 1, 1)
    assert (progress["failedRows"], progress["skippedRows"]) == (0, 0)
    assert counters(api, run_id)["deleted"] == 3
    assert api.rows("SELECT id FROM {table} ORDER BY 1") == [(n,) for n in (1, 3, 4, 5, 6, 8, 10, 11)]
    said = f"{api.table}: 3 of 11 rows removed, whose key shop.t has no more (8 keys compared)"
    assert said in [line["message"] for line in progress["log"]]
    tasks = of_prefect(api, "/task_runs/filter", "task_runs", run_id)
    assert "3 rows taken whose key the source has no more" in [each["state"]["message"] for each in tasks]
    shown = report(api, run_id)
    assert "| deleted |" in shown
    assert "| tgt | 1 | 1 | 0 | 0 | 0 | 3 |" in shown


def test_a_source_that_lost_too_much_fails_the_run_and_the_next_one_takes_the_rows_when_it_is_allowed(
    api: Api, shop: Shop
) -> None:
    api.run()
    shop.make("DELETE FROM t WHERE id > 5")
    run_id = api.start()
    assert api.finished(run_id)["status"] == "failed"
    reason = api.detail(run_id)["failureReason"]
    assert "maxShare" in reason
    assert "has 5 keys" in reason
    assert api.rows("SELECT count(*) FROM {table}") == [(10,)]
    api.body["ir"]["nodes"][-1]["deletes"] = {"maxShare": 0.6}
    assert api.post(f"/pipelines/{api.pipeline}/ir", json={"ir": api.body["ir"]}).is_success
    again = api.start()
    assert api.finished(again)["status"] == "completed"
    assert counters(api, again)["deleted"] == 5
    assert api.rows("SELECT id FROM {table} ORDER BY 1") == [(n,) for n in range(1, 6)]
