"""Replications on the real stack, from an embedded PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest

from tests.conftest import RunningStack, started_stack
from tests.replicated import Replicated, document, replicated, server
from tests.rest import eventually

__all__ = ["replicated", "server"]

pytestmark = [pytest.mark.stack, pytest.mark.slow]


@pytest.fixture(scope="module")
def dialling_stack() -> Iterator[RunningStack]:
    """A stack whose operator allows loopback, with so few places that a run that waits must not take one."""
    with started_stack(
        HEADRACE_CONNECTOR_NETWORKS='["127.0.0.0/8", "::1/128"]', HEADRACE_MAX_RUNNING_RUNS="1"
    ) as stack:
        yield stack


@dataclass
class Copies:
    """A client with the replication `shop`."""

    stack: RunningStack
    http: httpx.Client
    source: Replicated

    def make(self, path: str, body: Any = None) -> dict[str, Any]:
        response = self.http.post(path, json=body)
        assert response.status_code in (200, 201, 202), response.text
        made: dict[str, Any] = response.json()
        return made

    def get(self, path: str, **query: Any) -> Any:
        response = self.http.get(path, params=query)
        assert response.status_code == 200, response.text
        return response.json()

    def replication(self, **more: Any) -> str:
        self.make("/connectors", self.source.connector("shop"))
        return str(self.make("/replications", {"document": document("shop", "shop", **more)})["id"])

    def run(self, replication: str) -> dict[str, Any]:
        return self.ended(replication, self.make(f"/replications/{replication}/run")["id"])

    def ended(self, replication: str, run_id: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.get(f"/replications/{replication}/runs/{run_id}")
            return found if found["status"] not in ("pending", "running") else None

        return eventually(look)

    def target(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.stack.database_url, options="-ctimezone=UTC") as connection:
            return connection.execute(query.encode()).fetchall()


@pytest.fixture
def copies(dialling_stack: RunningStack, replicated: Replicated) -> Iterator[Copies]:
    headers = {"X-API-Key": dialling_stack.api_key}
    with httpx.Client(base_url=dialling_stack.api_url, headers=headers, timeout=60) as http:
        made = Copies(dialling_stack, http, replicated)
        yield made
        for each in made.get("/replications")["data"]:
            assert http.delete("/replications", params={"id": each["id"], "force": "true"}).status_code == 204
        for each in made.get("/schemas", limit=100)["data"]:
            assert http.delete("/schemas", params={"id": each["id"], "confirm": "true"}).status_code == 204
        for each in made.get("/connectors")["data"]:
            http.delete("/connectors", params={"id": each["id"]})


def statuses(run: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["status"] for each in run["results"]}


def result(run: dict[str, Any], name: str) -> dict[str, Any]:
    [found] = [each for each in run["results"] if each["name"] == name]
    return dict(found)


ORDERS = """
    SELECT region, number, total, precise, doc::jsonb::text, docs::text, token::text, raw::text, tags::text, span::text,
           at::text, updated_at::text
    FROM {} ORDER BY number
"""


def test_tables_of_two_schemas_are_copied_exactly_as_subflows_of_one_run(copies: Copies) -> None:
    replication = copies.replication(sources={"include": ["sales.*", "Stock-Room.*"]}, parallelism=2)
    run = copies.run(replication)
    tables = {
        *("Stock-Room.Order Lines", "sales.customers", "sales.empty", "sales.log", "sales.nothing"),
        *("sales.orders", "sales.totals"),
    }
    assert statuses(run) == dict.fromkeys(tables, "completed")
    assert (run["status"], run["tables"]) == ("completed", {"completed": 7})
    assert run["totals"] == {"rowsIn": 1107, "rowsOut": 1107, "failedRows": 0, "skippedRows": 0}
    assert copies.target(ORDERS.format("public.ds_sales_orders")) == copies.source.rows(ORDERS.format("sales.orders"))
    customers = "SELECT id, name, vip, joined, updated_at FROM {} ORDER BY id"
    assert copies.target(customers.format("public.ds_sales_customers")) == copies.source.rows(
        customers.format("sales.customers")
    )
    assert copies.target('SELECT "Line_No", "line_no_", "select", "größe" FROM public.ds_stock_room_order_lines') == [
        (1, "a", 2, "L"),
        (2, "b", 3, "XL"),
    ]
    described = """
        SELECT obj_description(c.oid), col_description(c.oid, a.attnum) FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'name' WHERE c.relname = 'ds_sales_customers'
    """
    assert copies.target(described) == [("Who buys", 'As on the invoice: it\'s "free" text, 100%')]
    keys = """
        SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE contype = 'p' AND conrelid::regclass::text ~ '^public.ds_(sales_orders|stock_room_order_lines)$'
    """
    assert sorted(copies.target(keys)) == [
        ("public.ds_sales_orders", "PRIMARY KEY (region, number)"),
        ("public.ds_stock_room_order_lines", 'PRIMARY KEY ("Line_No")'),
    ]

    # each is an ordinary run of its pipeline, and a subflow of the replication's flow run under its table's name
    orders = result(run, "sales.orders")
    [listed] = copies.get(f"/pipelines/{orders['pipelineId']}/runs")
    assert (listed["id"], listed["status"]) == (orders["runId"], "completed")
    parent = run["id"].removeprefix("run_")
    asked = {"task_runs": {"flow_run_id": {"any_": [parent]}}}
    subflows = copies.stack.prefect.post("/task_runs/filter", json=asked, timeout=30).json()
    assert {each["name"] for each in subflows} == tables
    assert {each["state_type"] for each in subflows} == {"COMPLETED"}
    children = {each["state"]["state_details"]["child_flow_run_id"].replace("-", "") for each in subflows}
    assert children == {each["runId"].removeprefix("run_") for each in run["results"]}
    flow_run = copies.stack.prefect.get(f"/flow_runs/{parent}", timeout=30).json()
    assert flow_run["state"]["message"] == "7 tables copied: 1,107 rows loaded"
    owned = copies.get("/pipelines", replicationId=replication)["data"]
    assert len(owned) == 7
    assert {each["replicationId"] for each in owned} == {replication}
    progress = copies.get(f"/replications/{replication}/runs/{run['id']}/progress")
    assert (progress["percent"], progress["phase"], len(progress["results"])) == (100.0, "ended", 7)


def test_the_next_run_reads_what_is_new_and_follows_tables_and_columns(copies: Copies) -> None:
    replication = copies.replication(
        sources={"include": ["sales.*"], "exclude": ["sales.totals", "sales.nothing"]},
        defaults={"cursor": "updated_at"},
    )
    first = copies.run(replication)
    assert first["totals"]["rowsOut"] == 1103
    copies.source.make(
        "INSERT INTO sales.customers VALUES (101, 'late', NULL, NULL, '2026-02-01 00:00:00+00')",
        "UPDATE sales.customers SET name = 'other', updated_at = '2026-02-01 00:00:01+00' WHERE id = 7",
        "ALTER TABLE sales.empty ADD COLUMN born date",
        "COMMENT ON COLUMN sales.empty.born IS 'A day'",
        "INSERT INTO sales.empty VALUES (1, 'x', '2020-02-29')",
        "ALTER TABLE sales.log ALTER COLUMN line TYPE varchar(50)",
        "CREATE TABLE sales.added (id int PRIMARY KEY, what text); INSERT INTO sales.added VALUES (1, 'new')",
        "DROP VIEW sales.totals; DROP TABLE sales.orders",
    )
    plan = copies.make(f"/replications/{replication}/plan")
    assert {each["name"]: each["change"] for each in plan["tables"]} == {
        "sales.added": "new",
        "sales.customers": "known",
        "sales.empty": "changed",
        "sales.log": "changed",
        "sales.orders": "gone",
    }
    [empty] = [each for each in plan["tables"] if each["name"] == "sales.empty"]
    assert empty["columns"] == [{"name": "born", "before": None, "after": "date"}]
    assert empty["ddl"] == [
        'ALTER TABLE "public"."ds_sales_empty" ADD COLUMN "born" date;',
        'COMMENT ON COLUMN "public"."ds_sales_empty"."born" IS \'A day\';',
    ]
    second = copies.run(replication)
    assert statuses(second) == {
        **dict.fromkeys(["sales.added", "sales.customers", "sales.empty", "sales.log"], "completed"),
        "sales.orders": "not_run",
    }
    assert {each["name"]: each["rowsIn"] for each in second["results"]} == {
        "sales.added": 1,
        "sales.customers": 2,  # the others had been read
        "sales.empty": 1,
        "sales.log": 3,
        "sales.orders": 0,
    }
    assert result(second, "sales.orders")["change"] == "gone"
    assert copies.target("SELECT count(*), max(name) FILTER (WHERE id = 7) FROM public.ds_sales_customers") == [
        (101, "other")
    ]
    assert copies.target("SELECT id, note, born::text FROM public.ds_sales_empty") == [(1, "x", "2020-02-29")]
    assert copies.target("SELECT what FROM public.ds_sales_added") == [("new",)]
    assert copies.target("SELECT count(*) FROM public.ds_sales_orders") == [(1000,)]  # nothing is dropped


def test_one_table_that_fails_stops_no_other_and_a_retry_copies_it_alone(copies: Copies) -> None:
    copies.source.make("CREATE VIEW sales.broken AS SELECT 1 / (id - 50) AS share FROM sales.customers")
    copies.source.make("GRANT SELECT ON sales.broken TO reader")
    replication = copies.replication(
        sources={"include": ["sales.customers", "sales.broken", "sales.log", "sales.secrets"]}
    )
    run = copies.run(replication)
    assert statuses(run) == {"sales.broken": "failed", "sales.customers": "completed", "sales.log": "completed"}
    assert "division by zero" in result(run, "sales.broken")["message"]
    assert run["status"] == "failed"
    assert run["failureReason"].startswith("2 of 3 tables copied (103 rows loaded); not copied: sales.broken: ")
    copies.source.make("CREATE OR REPLACE VIEW sales.broken AS SELECT 1 / (id + 50) AS share FROM sales.customers")
    again = copies.make(f"/replications/{replication}/runs/{run['id']}/retry")
    assert again["retryOf"] == run["id"]
    retried = copies.ended(replication, again["id"])
    assert (retried["status"], statuses(retried)) == ("completed", {"sales.broken": "completed"})
    assert copies.target("SELECT count(*) FROM public.ds_sales_broken") == [(100,)]
    refused = copies.http.post(f"/replications/{replication}/runs/{again['id']}/retry")
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        422,
        "The run has copied all of its tables: start a new one",
    )


def test_a_run_that_is_cancelled_stops_the_runs_of_its_tables(copies: Copies) -> None:
    copies.source.make("CREATE VIEW sales.slow AS SELECT id, pg_sleep(0.5)::text AS slept FROM sales.customers")
    copies.source.make("GRANT SELECT ON sales.slow TO reader")
    replication = copies.replication(sources={"include": ["sales.slow", "sales.log"]}, parallelism=1)
    started = copies.make(f"/replications/{replication}/run")

    def running() -> dict[str, Any] | None:
        found = copies.get(f"/replications/{replication}/runs/{started['id']}")
        return found if statuses(found).get("sales.slow") == "running" else None

    eventually(running)
    assert copies.http.post(f"/replications/{replication}/runs/{started['id']}/cancel").status_code == 202
    run = copies.ended(replication, started["id"])
    assert (run["status"], run["failureReason"]) == ("failed", "cancelled")
    assert statuses(run) == {"sales.log": "completed", "sales.slow": "cancelled"}
    slow = result(run, "sales.slow")

    def stopped() -> str | None:
        [child] = copies.get(f"/pipelines/{slow['pipelineId']}/runs")
        return child["status"] if child["status"] not in ("pending", "running") else None

    assert eventually(stopped) == "failed"
