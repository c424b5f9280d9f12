"""A rejected row names its source rows and files, and a rejected cell shows the file's text."""

from __future__ import annotations

import json
import threading
from typing import Any

import polars as pl
import pytest

from tests.flows.runtime.graphs.world import Mill, Node, source, target, transform
from tests.flows.runtime.shop import Notebook

pytestmark = pytest.mark.postgres


class Recording(Notebook):
    """Keeps (node, column, value, sources)."""

    def __init__(self) -> None:
        super().__init__()
        self.reported: list[tuple[str, str | None, str | None, Any]] = []
        self._mine = threading.Lock()

    def rejected(self, stage: int, partition: int, node: str, cells: pl.DataFrame, *, warning: bool) -> None:
        with self._mine:
            for column, value, sources in cells.select("column", "value", "sources").rows():
                self.reported.append((node, column, value, [*map(_place, json.loads(sources))]))


def _place(each: dict[str, Any]) -> tuple[Any, ...]:
    return each["node"], each.get("file"), each.get("row")


@pytest.fixture
def shop(mill: Mill, spread: None) -> Mill:
    mill.write("orders.csv", "id,customer", [(n, n % 4) for n in range(1, 9)])
    mill.write("customers.csv", "nr,name", [(3, "Cy"), (2, ""), (1, "Ann"), (7, "Nobody")])
    mill.write("regions.csv", "who,region", [("Ann", "north"), ("Cy", "south")])
    mill.table("t", "id bigint, customer bigint, name text, region text")
    mill.recorder = Recording()
    return mill


ORDERS = source("orders.csv", {"id": "bigint", "customer": "bigint"}, "orders")
CUSTOMERS = source("customers.csv", {"nr": "bigint", "name": "text"}, "customers")


def join(kind: str, left: str, right: str, on: tuple[str, str], node: str = "both") -> Node:
    pair = {"left": on[0], "right": on[1]}
    return {"id": node, "kind": "join", "inputs": [left, right], "type": kind, "on": [pair]}


def check(before: str, field: str, rule: str, **more: Any) -> Node:
    return {
        "id": "check",
        "kind": "validate",
        "input": before,
        "rowLevel": [{"id": "r", "field": field, "rule": rule, **more}],
    }


def rejected_cells(mill: Mill, *nodes: Node) -> list[tuple[str, str | None, str | None, Any]]:
    mill.run([*nodes, target("tgt", "check", "t")])
    assert isinstance(mill.recorder, Recording)
    return sorted(mill.recorder.reported, key=repr)


def test_rows_of_a_join_come_from_a_row_of_each_side(shop: Mill) -> None:
    both = join("left", "orders", "customers", ("customer", "nr"))
    assert rejected_cells(shop, ORDERS, CUSTOMERS, both, check("both", "name", "not_empty")) == [
        ("check", "name", None, [("orders", "orders.csv", 2), ("customers", "customers.csv", 2)]),
        ("check", "name", None, [("orders", "orders.csv", 4)]),
        ("check", "name", None, [("orders", "orders.csv", 6), ("customers", "customers.csv", 2)]),
        ("check", "name", None, [("orders", "orders.csv", 8)]),
    ]


def test_rows_that_only_the_right_side_has_come_from_there(shop: Mill) -> None:
    both = join("full", "orders", "customers", ("customer", "nr"))
    found = rejected_cells(shop, ORDERS, CUSTOMERS, both, check("both", "name", "ne:Nobody"))
    assert found == [("check", "name", "Nobody", [("customers", "customers.csv", 4)])]


def test_rows_of_a_join_of_joins_come_from_all_of_them(shop: Mill) -> None:
    regions = source("regions.csv", {"who": "text", "region": "text"}, "regions")
    first = join("inner", "orders", "customers", ("customer", "nr"), "first")
    second = join("inner", "first", "regions", ("name", "who"))
    kept = {"type": "deduplicate", "keys": ["id"]}
    once = transform("once", "both", kept)
    found = rejected_cells(shop, ORDERS, CUSTOMERS, regions, first, second, once, check("once", "id", "gt:3"))
    assert found == [
        (
            "check",
            "id",
            "1",
            [("orders", "orders.csv", 1), ("customers", "customers.csv", 3), ("regions", "regions.csv", 1)],
        ),
        (
            "check",
            "id",
            "3",
            [("orders", "orders.csv", 3), ("customers", "customers.csv", 1), ("regions", "regions.csv", 2)],
        ),
    ]


def test_a_row_made_of_many_says_the_source_alone(shop: Mill) -> None:
    sums = {"type": "aggregate", "groupBy": ["customer"], "aggregations": [{"fn": "count", "as": "id"}]}
    found = rejected_cells(shop, ORDERS, transform("sums", "orders", sums), check("sums", "customer", "gt:1"))
    assert found == [("check", "customer", value, [("orders", None, None)]) for value in ("0", "1")]


def test_what_the_database_refuses_of_a_join_is_reported_so_too(shop: Mill) -> None:
    shop.alter("ALTER TABLE public.t ADD CHECK (name <> 'Ann')")
    both = join("inner", "orders", "customers", ("customer", "nr"))
    found = rejected_cells(shop, ORDERS, CUSTOMERS, both, check("both", "id", "gt:1"))
    places = [(node, sources) for node, _, _, sources in found]
    assert places == [
        ("check", [("orders", "orders.csv", 1), ("customers", "customers.csv", 3)]),
        ("tgt", [("orders", "orders.csv", 5), ("customers", "customers.csv", 3)]),
    ]


def test_rows_are_counted_in_their_own_file(mill: Mill) -> None:
    for name, ids in (("a.csv", (1, 2)), ("b.csv", (3, 0)), ("c.csv", (5, "x"))):
        mill.write(name, "id", [(each,) for each in ids])
    mill.table("t", "id bigint")
    mill.recorder = Recording()
    several = source("./", {"id": "bigint"})
    several["config"] |= {"pattern": {"type": "glob", "value": "*.csv"}, "ordering": "process_all"}
    assert rejected_cells(mill, several, check("src", "id", "gt:0")) == [
        ("check", "id", "0", [("src", "b.csv", 2)]),
        ("src", "id", "x", [("src", "c.csv", 2)]),
    ]


def undeclared(*ops: dict[str, Any]) -> list[Node]:
    src: Node = {"id": "src", "kind": "source", "connector": "local_fs", "config": {"path": "amounts.csv"}}
    return [src, transform("clean", "src", *ops)] if ops else [src]


@pytest.mark.parametrize("fields", [None, {"id": "bigint", "amount": "decimal"}], ids=["undeclared", "declared"])
@pytest.mark.parametrize(
    ("ops", "field", "value"),
    [
        ([], "amount", "-1"),
        ([{"type": "rename", "from": "amount", "to": "sum"}], "sum", "-1"),
        ([{"type": "cast", "field": "amount", "to": "decimal", "precision": 12, "scale": 4}], "amount", "-1"),
        ([{"type": "expression", "field": "amount", "expression": "0 - ABS(amount)"}], "amount", None),
    ],
    ids=["as it comes", "renamed", "cast", "computed"],
)
def test_a_rejected_cell_is_reported_as_it_is_written(
    mill: Mill, ops: list[dict[str, Any]], field: str, value: str | None, fields: dict[str, str] | None
) -> None:
    mill.write("amounts.csv", "id,amount", [(1, "10.50"), (2, "-1"), (3, "+7")])
    mill.table("t", "id bigint, amount numeric(12, 2), sum numeric(12, 2)")
    mill.recorder = Recording()
    nodes = undeclared(*ops)
    if fields is not None:
        more = {"amount": {"precision": 12, "scale": 2}}
        nodes[0]["fields"] = [{"name": name, "dataType": kind, **more.get(name, {})} for name, kind in fields.items()]
    found = rejected_cells(mill, *nodes, check(nodes[-1]["id"], field, "gt:0"))
    if value is None:  # computed values are reported as computed
        assert sorted(float(str(cell)) for _, _, cell, _ in found) == [-10.5, -7.0, -1.0]
    else:
        assert [(cell, row) for _, _, cell, row in found] == [(value, [("src", "amounts.csv", 2)])]


def test_the_database_s_refusal_reports_the_cell_as_it_is_written(mill: Mill) -> None:
    mill.write("amounts.csv", "id,amount", [(1, "10.50"), (2, "+7")])
    mill.table("t", "id bigint, amount numeric(12, 2), CHECK (amount > 8)")
    mill.recorder = Recording()
    mill.run([*undeclared(), target("tgt", "src", "t")])
    [(_, column, value, _)] = mill.recorder.reported
    assert (column, value) in {("amount", "+7"), (None, None)} or (value is not None and "+7" in value)


def test_a_masked_cell_stays_masked(mill: Mill) -> None:
    mill.write("amounts.csv", "id,amount", [(1, "10.50"), (2, "-1")])
    mill.table("t", "id bigint, amount text")
    mill.recorder = Recording()
    hidden = {"type": "mask_pii", "field": "amount", "strategy": "redact"}
    nodes = [
        undeclared()[0],
        check("src", "amount", "expr:CAST(amount AS DOUBLE) > 0"),
        transform("m", "check", hidden),
    ]
    mill.run([*nodes, target("tgt", "m", "t")])
    assert [(column, value) for _, column, value, _ in mill.recorder.reported] == [("amount", "***")]


def test_an_abort_reports_the_cell_as_it_is_written(mill: Mill) -> None:
    mill.write("amounts.csv", "id,amount", [(1, "10.50"), (2, "-1")])
    mill.table("t", "id bigint, amount numeric(12, 2)")
    nodes = [*undeclared(), check("src", "amount", "gt:0", onFail="abort"), target("tgt", "check", "t")]
    with pytest.raises(Exception, match="row 2, amount = '-1': Must be greater than 0"):
        mill.run(nodes)
