"""A graph through REST, Prefect and a worker: two sources, a join, a branch into two targets and an aggregate."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.conftest import RunningStack
from tests.rest import Api, eventually

pytestmark = pytest.mark.stack

ORDERS = "id,customer,amount\n1,10,5\n2,20,50\n3,10,x\n4,30,70\n5,20,7\n6,99,60\n"
CUSTOMERS = "nr,name\n10,Ann\n20,Bob\n30,Cy\n40,Di\n"


class Graph(Api):
    """A pipeline whose main target is this client's table, with two tables and a file besides."""

    def __init__(self, stack: RunningStack) -> None:
        super().__init__(stack, ORDERS, execution={"parallelism": 2})
        customers = stack.files_root / f"{self.name}_customers.csv"
        customers.write_text(CUSTOMERS)
        amount = {"name": "amount", "dataType": "integer"}
        name = {"name": "name", "dataType": "text"}
        self.big = self._table("big", [{"name": "id", "dataType": "bigint"}, amount, name])
        self.small = self._table("small", [{"name": "id", "dataType": "bigint"}, amount, name])
        numbers = [{"name": each, "dataType": "bigint"} for each in ("orders", "total")]
        self.sums = self._table("sums", [name, *numbers])
        fields = {"id": "bigint", "customer": "integer", "amount": "text"}
        aggregations = [{"fn": "count", "as": "orders"}, {"field": "amount", "fn": "sum", "as": "total"}]
        self.body["ir"]["nodes"] = [
            self._source("orders", self.file.name, fields),
            self._source("customers", customers.name, {"nr": "integer", "name": "text"}),
            {
                "id": "clean",
                "kind": "transform",
                "input": "orders",
                "ops": [{"type": "cast", "field": "amount", "to": "integer"}],
            },
            {
                "id": "named",
                "kind": "join",
                "inputs": ["clean", "customers"],
                "type": "left",
                "on": [{"left": "customer", "right": "nr"}],
            },
            {
                "id": "size",
                "kind": "branch",
                "input": "named",
                "routes": [{"name": "big", "when": "amount >= 50"}],
                "default": "small",
            },
            {"id": "many", "kind": "target", "input": "size.big", "schema": self.big},
            {"id": "few", "kind": "target", "input": "size.small", "schema": self.small},
            {
                "id": "sums",
                "kind": "transform",
                "input": "named",
                "ops": [{"type": "aggregate", "groupBy": ["name"], "aggregations": aggregations}],
            },
            {"id": "totals", "kind": "target", "input": "sums", "schema": self.sums, "loadMode": "replace"},
        ]

    def _table(self, suffix: str, fields: list[dict[str, Any]]) -> str:
        name = f"{self.name}_{suffix}"
        schema = self.make("/schemas", {"name": name, "displayName": name, "fields": fields})
        return f"public.{schema['tableName']}"

    def _source(self, node: str, path: str, fields: dict[str, str]) -> dict[str, Any]:
        declared = [{"name": name, "dataType": kind} for name, kind in fields.items()]
        return {"id": node, "kind": "source", "connector": "local_fs", "config": {"path": path}, "fields": declared}

    def found(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.stack.database_url) as connection:
            return connection.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]


TASKS = {
    "orders > clean > named [1/1]",
    "customers > named [1/1]",
    "named > (size > (many, few), sums) [1/1]",
    "sums > totals [1/1]",
    "totals: publish [1/1]",
}


def task_names(graph: Graph, run_id: str) -> set[str]:
    """As Prefect has them, which learns of names a moment after the run."""
    wanted = {"task_runs": {"flow_run_id": {"any_": [run_id.removeprefix("run_")]}}}
    found = graph.stack.prefect.post("/task_runs/filter", json=wanted, timeout=30).json()
    return {task["name"] for task in found}


@pytest.fixture
def graph(stack: RunningStack) -> Any:
    api = Graph(stack)
    api.create()
    yield api
    api.close()


def test_a_graph_runs_through_prefect_with_every_node_counted(graph: Graph) -> None:
    run_id = graph.start()
    progress = graph.finished(run_id)
    assert (progress["status"], progress["totalRows"], progress["rowsIn"]) == ("completed_with_errors", 10, 10)
    assert graph.found(f"SELECT id, amount, name FROM {graph.big} ORDER BY id") == [
        (2, 50, "Bob"),
        (4, 70, "Cy"),
        (6, 60, None),
    ]
    assert graph.found(f"SELECT id, amount, name FROM {graph.small} ORDER BY id") == [(1, 5, "Ann"), (5, 7, "Bob")]
    assert graph.found(f"SELECT name, orders, total FROM {graph.sums} ORDER BY name") == [
        ("Ann", 1, 5),
        ("Bob", 2, 57),
        ("Cy", 1, 70),
        (None, 1, 60),
    ]
    results = {each["nodeId"]: each["counters"] for each in graph.detail(run_id)["nodeResults"]}
    flow = {
        node: (counted["rowsIn"], counted["rowsOut"], counted["failed"], counted["skipped"])
        for node, counted in results.items()
    }
    assert flow == {
        "orders": (6, 6, 0, 0),
        "clean": (6, 5, 1, 0),
        "customers": (4, 4, 0, 0),
        "named": (9, 5, 0, 0),
        "size": (5, 5, 0, 0),
        "many": (3, 3, 0, 0),
        "few": (2, 2, 0, 0),
        "sums": (5, 4, 0, 0),
        "totals": (4, 4, 0, 0),
    }

    assert eventually(lambda: names if (names := task_names(graph, run_id)) == TASKS else None)
    refused = graph.post(f"/pipelines/{graph.pipeline}/runs/{run_id}/retry")
    assert refused.status_code == 422
    assert "cannot be run again by themselves" in refused.json()["error"]["message"]
    staging = graph.stack.data_dir / "staging"
    assert eventually(lambda: not list(staging.iterdir()) or None)


def test_a_graph_is_planned_and_previewed(graph: Graph) -> None:
    plan = graph.post(f"/pipelines/{graph.pipeline}/plan", json={}).json()
    assert [(stage["name"], stage["after"], stage["gathers"]) for stage in plan["stages"]] == [
        ("orders > clean > named", [], None),
        ("customers > named", [], None),
        ("named > (size > (many, few), sums)", [0, 1], "left join by customer = nr"),
        ("sums > totals", [2], "orders = count(), total = sum(amount) by name"),
    ]
    assert [each["node"] for each in plan["sql"]] == ["many", "few", "totals"]
    lines = plan["sql"][2]["sql"].splitlines()
    assert [line for line in lines if line.startswith("-- named:")] == ["-- named: left join by customer = nr"]
    preview = graph.post(f"/pipelines/{graph.pipeline}/preview", json={}).json()
    seen = {node["node"]: (node["rowsIn"], node["rowsOut"], node["failed"]) for node in preview["nodes"]}
    assert (seen["named"], seen["size"], seen["sums"]) == ((8, 5, 0), (5, 5, 0), (5, 4, 0))
    assert [row["values"] for node in preview["nodes"] if node["node"] == "few" for row in node["rows"]] == [
        {"id": 1, "amount": 5, "name": "Ann"},
        {"id": 5, "amount": 7, "name": "Bob"},
    ]
