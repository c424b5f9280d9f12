"""Graphs whose stages read and send fewer columns than there are: the same rows, errors, counts and quarantine."""

from __future__ import annotations

from functools import partial
from typing import Any

import polars as pl
import pytest

from headrace.flows.compile import physical_plan
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from tests.flows.runtime.graphs.world import Mill, Node, source, target, transform

pytestmark = pytest.mark.postgres

ORDERS = 1200
MORE = [f"c{n}" for n in range(20)]
FIELDS = {"nr": "bigint", "name": "text", "level": "smallint", "note": "text"}


def nodes() -> list[Node]:
    clean = [
        {"type": "filter", "expression": "id > 400"},
        {"type": "cast", "field": "amount", "to": "decimal"},
        {"type": "rename", "from": "colour", "to": "shade"},
        {"type": "drop", "fields": [*MORE]},
    ]
    rules = [{"id": "named", "field": "name", "rule": "not_empty"}, {"id": "low", "field": "amount", "rule": "lt:990"}]
    on = [{"left": "customer", "right": "nr"}]
    count = {"type": "aggregate", "groupBy": ["name"], "aggregations": [{"fn": "count", "as": "n"}]}
    return [
        {"id": "orders", "kind": "source", "connector": "local_fs", "config": {"path": "orders.parquet"}},
        source("customers.csv", FIELDS, "customers"),
        transform("clean", "orders", *clean),
        {"id": "both", "kind": "join", "inputs": ["clean", "customers"], "type": "left", "on": on},
        {"id": "check", "kind": "validate", "input": "both", "rowLevel": rules, "quarantine": {"table": "dlq.kept"}},
        target("tgt", "check", "out"),
        transform("counts", "both", count),
        target("sums", "counts", "sums"),
        {"id": "known", "kind": "join", "inputs": ["clean", "customers"], "type": "semi", "on": on},
        target("few", "known", "few"),
    ]


@pytest.fixture
def shop(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> Mill:
    monkeypatch.setattr("headrace.flows.compile.shuffle._ONE_BUCKET_ROWS", 0)
    orders = pl.DataFrame(
        {
            "id": range(1, ORDERS + 1),
            "customer": [n % 9 for n in range(ORDERS)],
            "amount": ["x" if n % 50 == 0 else f"{n}.5" for n in range(ORDERS)],
            "colour": ["red"] * ORDERS,
            **{name: [name] * ORDERS for name in MORE},
        }
    )
    orders.write_parquet(mill.root / "orders.parquet", row_group_size=100)
    customers = [(n, "" if n == 3 else f"c{n}", "9" if n < 6 else "x", "-") for n in range(8)]
    mill.write("customers.csv", ",".join(FIELDS), customers)
    mill.table("out", "id bigint, amount numeric, name text")
    mill.table("sums", "name text, n bigint")
    mill.table("few", "id bigint, shade text")
    return mill


def found(shop: Mill) -> list[Any]:
    return [
        shop.rows("SELECT id, amount, name FROM out ORDER BY id"),
        shop.rows("SELECT name, n FROM sums ORDER BY name"),
        shop.rows("SELECT id, shade FROM few ORDER BY id"),
        shop.rows('SELECT node_id, row_number, rule_id, error, "row" FROM dlq.kept ORDER BY 1, 2, 3'),
        shop.recorder.errors,
        shop.counters(),
    ]


def test_a_graph_is_the_same_with_and_without(shop: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    run = shop.execution(nodes())
    orders = next(stage for stage in run.prepared.plan.stages if stage.root_node == "orders")
    assert [*orders.unread] == MORE
    assert [str(bound) for bound in orders.bounds] == ["id > 400"]
    run_in_threads(run)
    pushed = found(shop)
    assert shop.flow("orders", "clean") == {"orders": (1200, 1200, 0, 0), "clean": (1200, 784, 16, 400)}
    assert len(pushed[3]) > 100

    for table in ("out", "sums", "few", "dlq.kept"):
        shop.alter(f"TRUNCATE {table}")
    shop.recorder.states.clear()
    shop.recorder.cells.clear()
    monkeypatch.setattr("headrace.flows.runtime.prepare.physical_plan", partial(physical_plan, push_down=False))
    plain = shop.execution(nodes(), "run_2")
    assert not any(stage.unread or stage.bounds for stage in plain.prepared.plan.stages)
    run_in_threads(plain)
    assert found(shop) == pushed


def test_a_retry_that_needs_another_column_has_its_rows_sent_again(shop: Mill) -> None:
    first = shop.execution(nodes())
    first.begin()
    for stage in first.prepared.plan.stages:
        if stage.source is not None:
            for partition in stage.partitions:
                first.partition(stage, partition.index)
    shop.alter("ALTER TABLE few ADD COLUMN amount numeric")
    run_in_threads(shop.execution(nodes(), "run_2", root="run_1", earlier=stored_plan(first.prepared)))
    few = shop.rows("SELECT id, shade, amount IS NULL FROM few ORDER BY id")
    assert few == [(n + 1, "red", False) for n in range(400, ORDERS) if n % 50 and n % 9 < 6]
