"""For which targets a row is open that failed at a node."""

from __future__ import annotations

from tests.flows.compile.graphs import COUNT, FILTER, ORDERS, branch, plan, source, target, transform


def test_a_row_is_open_where_its_node_leads_and_on_the_routes_it_did_not_take() -> None:
    found = plan(
        source("src", ORDERS),
        target("all", "src"),
        branch("by", "src", rich="amount > 100", late="id > 3"),
        transform("pos", "by.rich", FILTER),
        target("first", "pos"),
        target("again", "by.rich"),
        target("late", "by.late"),
    )
    (ways,) = found.ways
    assert {node: sorted(targets) for node, targets in ways.items()} == {
        "src": ["again", "all", "first", "late"],
        "all": ["all"],
        "by": ["again", "first", "late"],
        "pos": ["first", "late"],
        "first": ["first", "late"],
        "again": ["again", "late"],
        "late": ["again", "first", "late"],
    }
    assert found.entangling is None


def test_where_rows_have_one_way_there_is_nothing_to_report() -> None:
    found = plan(
        source("src", ORDERS),
        branch("by", "src", "late", rich="amount > 100", late="id > 3"),
        target("rich", "by.rich"),
        target("late", "by.late"),
    )
    assert (found.ways, found.entangling) == ([{}], None)


def test_the_first_node_that_brings_rows_together_is_named() -> None:
    rename = {"type": "rename", "from": "note", "to": "name"}
    found = plan(source("src", ORDERS), transform("sums", "src", rename, COUNT), target("tgt", "sums"))
    assert found.entangling == "sums"
