"""Joins of two inputs, compared with PostgreSQL's result for the same rows."""

from __future__ import annotations

import pytest

from tests.flows.runtime.graphs.world import Mill, Node, source, target, transform

pytestmark = pytest.mark.postgres

ORDERS = [(1, "10", "x"), (2, "20", "y"), (3, "", "z"), (4, "10", "w"), (5, "99", "v")]
CUSTOMERS = [(10, "Ann", "n1"), (20, "Bob", "n2"), (20, "Bo", "n3"), (30, "Cy", "n4"), ("", "Nobody", "n5")]


@pytest.fixture
def shop(mill: Mill, spread: None) -> Mill:
    mill.write("orders.csv", "id,customer,note", ORDERS)
    mill.write("customers.csv", "nr,name,note", CUSTOMERS)
    mill.table("orders", "id bigint, customer integer, note text")
    mill.table("customers", "nr bigint, name text, note text")
    mill.table("joined", "id bigint, customer bigint, note text, name text, note_right text")
    return mill


def joined(kind: str) -> list[Node]:
    return [
        source("orders.csv", {"id": "bigint", "customer": "integer", "note": "text"}, "orders"),
        source("customers.csv", {"nr": "bigint", "name": "text", "note": "text"}, "customers"),
        {
            "id": "both",
            "kind": "join",
            "inputs": ["orders", "customers"],
            "type": kind,
            "on": [{"left": "customer", "right": "nr"}],
        },
        target("tgt", "both", "joined"),
        target("o", "orders", "orders"),
        target("c", "customers", "customers"),
    ]


_BY_SQL = {
    "inner": "SELECT o.id, o.customer, o.note, c.name, c.note FROM orders o JOIN customers c ON o.customer = c.nr",
    "left": "SELECT o.id, o.customer, o.note, c.name, c.note FROM orders o LEFT JOIN customers c ON o.customer = c.nr",
    "full": "SELECT o.id, coalesce(o.customer, c.nr), o.note, c.name, c.note "
    "FROM orders o FULL JOIN customers c ON o.customer = c.nr",
    "semi": "SELECT o.*, NULL, NULL FROM (SELECT id, customer, note FROM orders) o "
    "WHERE EXISTS (SELECT FROM customers c WHERE o.customer = c.nr)",
    "anti": "SELECT o.*, NULL, NULL FROM (SELECT id, customer, note FROM orders) o "
    "WHERE NOT EXISTS (SELECT FROM customers c WHERE o.customer = c.nr)",
}


@pytest.mark.parametrize("kind", list(_BY_SQL))
def test_a_join_gives_the_rows_of_sql(shop: Mill, kind: str) -> None:
    shop.run(joined(kind))
    order = "ORDER BY 1 NULLS LAST, 4 NULLS LAST"
    made = shop.rows(f"SELECT id, customer, note, name, note_right FROM joined {order}")
    assert made == shop.rows(f"SELECT * FROM ({_BY_SQL[kind]}) AS x {order}")
    assert shop.flow("both", "tgt") == {"both": (10, len(made), 0, 0), "tgt": (len(made), len(made), 0, 0)}


def test_a_table_is_joined_with_what_is_made_of_itself(shop: Mill) -> None:
    count = {"type": "aggregate", "groupBy": ["customer"], "aggregations": [{"fn": "count", "as": "n"}]}
    shop.table("counted", "id bigint, n bigint")
    nodes = [
        source("orders.csv", {"id": "bigint", "customer": "integer", "note": "text"}, "orders"),
        transform("counts", "orders", count),
        {
            "id": "both",
            "kind": "join",
            "inputs": ["orders", "counts"],
            "type": "inner",
            "on": [{"left": "customer", "right": "customer"}],
        },
        target("tgt", "both", "counted"),
    ]
    shop.run(nodes)
    assert shop.rows("SELECT id, n FROM counted ORDER BY id") == [(1, 2), (2, 1), (4, 2), (5, 1)]
    assert shop.flow("orders", "both")["both"] == (9, 4, 0, 0)
