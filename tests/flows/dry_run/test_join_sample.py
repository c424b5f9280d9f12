"""A preview of a join shows rows that meet: of the right side those whose keys the left side's sample has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.flows.dry_run.preview import NodePreview, preview
from tests.flows.runtime.graphs.world import source, target, transform
from tests.flows.runtime.runs import Runner

pytestmark = pytest.mark.postgres

Node = dict[str, Any]
COUNT = 30_000
"""Customers, the ones that orders name last."""


@pytest.fixture
def shop(tmp_path: Path, database_url: str) -> Runner:
    orders = [f"{number},{COUNT - number % 3}" for number in range(1, 101)]
    (tmp_path / "orders.csv").write_text("\n".join(["id,customer", *orders]) + "\n")
    customers = [f"{number},c{number}" for number in range(1, COUNT + 1)]
    (tmp_path / "customers.csv").write_text("\n".join(["nr,name", *customers]) + "\n")
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE public.t (id bigint, customer bigint, name text)")
        connection.execute("CREATE TABLE public.c (nr bigint, name text)")
    return Runner(tmp_path, database_url)


ORDERS = source("orders.csv", {"id": "bigint", "customer": "bigint"}, "orders")
CUSTOMERS = source("customers.csv", {"nr": "bigint", "name": "text"}, "customers")


def join(right: str = "customers", kind: str = "inner", left: str = "orders") -> Node:
    on = [{"left": "customer", "right": "nr"}]
    return {"id": "both", "kind": "join", "inputs": [left, right], "type": kind, "on": on}


def previewed(shop: Runner, *nodes: Node, rows: int = 4) -> dict[str, NodePreview]:
    return {each.node: each for each in preview(shop.job(nodes), rows=rows)}


def met(node: NodePreview) -> list[tuple[Any, ...]]:
    return [(row.values["id"], row.values["customer"], row.values["name"]) for row in node.rows]


EXPECTED = [(number, COUNT - number % 3, f"c{COUNT - number % 3}") for number in range(1, 5)]


@pytest.mark.parametrize("first", [ORDERS, CUSTOMERS], ids=["left first", "right first"])
def test_the_right_side_is_looked_up_by_the_left_sample_s_keys(shop: Runner, first: Node) -> None:
    sources = [first, *(each for each in (ORDERS, CUSTOMERS) if each is not first)]
    nodes = previewed(shop, *sources, join(), target("tgt", "both", "t"))
    assert met(nodes["both"]) == met(nodes["tgt"]) == EXPECTED
    assert [row.values["nr"] for row in nodes["customers"].rows] == [COUNT - 2, COUNT - 1, COUNT]
    assert nodes["customers"].notes == ("only rows that the left side of 'both' meets",)
    assert (nodes["both"].rows_in, nodes["both"].rows_out) == (7, 4)


def test_what_happens_to_the_right_side_before_the_join_happens_to_it(shop: Runner) -> None:
    ops = [
        {"type": "filter", "expression": f"nr <> {COUNT}"},
        {"type": "expression", "field": "nr", "expression": "nr + 1"},
    ]
    nodes = previewed(
        shop, ORDERS, CUSTOMERS, transform("clean", "customers", *ops), join("clean"), target("t", "both", "t")
    )
    assert met(nodes["both"]) == [(n, c, f"c{c - 1}") for n, c, _ in EXPECTED]


def test_a_route_of_the_right_side_is_looked_up_too(shop: Runner) -> None:
    parts = {
        "id": "parts",
        "kind": "branch",
        "input": "customers",
        "default": "drop",
        "routes": [{"name": "big", "when": f"nr >= {COUNT - 1}"}],
    }
    nodes = previewed(shop, ORDERS, CUSTOMERS, parts, join("parts.big"), target("t", "both", "t"))
    assert met(nodes["both"]) == [each for each in EXPECTED if each[1] >= COUNT - 1]


def test_a_right_side_that_others_read_is_shown_from_its_beginning(shop: Runner) -> None:
    nodes = previewed(shop, ORDERS, CUSTOMERS, join(), target("t", "both", "t"), target("c", "customers", "c"))
    assert met(nodes["both"]) == EXPECTED
    assert [row.values["nr"] for row in nodes["c"].rows] == [1, 2, 3, 4]


def test_a_join_with_itself_is_looked_up(shop: Runner) -> None:
    self_join = {**join("orders"), "on": [{"left": "id", "right": "id"}], "suffix": "_again"}
    nodes = previewed(shop, ORDERS, self_join, target("t", "both", "t"))
    assert [row.values["customer_again"] for row in nodes["both"].rows] == [each[1] for each in EXPECTED]


def test_where_rows_come_together_before_the_join_more_are_looked_at(shop: Runner) -> None:
    once = transform("once", "customers", {"type": "deduplicate", "keys": ["nr"]})
    nodes = previewed(shop, ORDERS, CUSTOMERS, once, join("once"), target("t", "both", "t"))
    assert met(nodes["both"]) == EXPECTED
    assert "50,000" in nodes["both"].notes[0]
    assert len(nodes["once"].rows) == 500


@pytest.mark.parametrize(("kind", "rows"), [("left", 4), ("semi", 4), ("anti", 0), ("full", 4)])
def test_every_kind_of_join_meets_its_rows(shop: Runner, kind: str, rows: int) -> None:
    nodes = previewed(shop, ORDERS, CUSTOMERS, join(kind=kind), target("t", "both", "t"))
    assert len(nodes["both"].rows) == rows
    assert ("rows that only the right side has are left out" in nodes["both"].notes) == (kind == "full")


def test_what_was_not_looked_at_is_reported(shop: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.flows.dry_run.join_sample.MAX_MATCHING_ROWS", 0)
    monkeypatch.setattr(
        "headrace.connectors.files.formats.csv.Csv.__init__.__kwdefaults__",
        {"chunk_bytes": 1 << 16, "min_piece_bytes": 4 << 20},
    )
    nodes = previewed(shop, ORDERS, CUSTOMERS, join(), target("t", "both", "t"))
    assert "of 30,000 rows were searched for the sample's keys" in nodes["customers"].notes[1]


def test_cells_are_reported_as_they_are_written(shop: Runner) -> None:
    (shop.files / "orders.csv").write_text("id,customer\n1,+7\n2,-1\n")
    check = {
        "id": "check",
        "kind": "validate",
        "input": "orders",
        "rowLevel": [{"id": "r", "field": "customer", "rule": "lt:0"}],
    }
    nodes = previewed(shop, ORDERS, check, target("t", "check", "t"))
    assert [each.value for each in nodes["check"].errors] == ["+7"]
