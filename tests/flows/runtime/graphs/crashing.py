"""A graph with every kind of stage, its input, and the expected tables."""

from __future__ import annotations

import random

from tests.flows.runtime.graphs.world import Mill, Node, source, target, transform

KINDS = "abcdefgh"


def nodes() -> list[Node]:
    count_all = [{"fn": "count", "as": "n"}, {"field": "amount", "fn": "sum", "as": "total"}]
    return [
        source("orders.csv", {"id": "bigint", "customer": "bigint", "amount": "text"}, "orders"),
        source("customers.csv", {"nr": "bigint", "kind": "text"}, "customers"),
        transform("clean", "orders", {"type": "cast", "field": "amount", "to": "integer"}),
        {
            "id": "both",
            "kind": "join",
            "inputs": ["clean", "customers"],
            "type": "left",
            "on": [{"left": "customer", "right": "nr"}],
        },
        {
            "id": "by",
            "kind": "branch",
            "input": "both",
            "routes": [{"name": "big", "when": "amount > 50"}],
            "default": "small",
        },
        target("big", "by.big", "big"),
        target("small", "by.small", "small"),
        transform("groups", "both", {"type": "aggregate", "groupBy": ["kind"], "aggregations": count_all}),
        target("counts", "groups", "counts", loadMode="append"),
        transform("one", "clean", {"type": "deduplicate", "keys": ["customer"], "keep": "last"}),
        target("latest", "one", "latest"),
    ]


ORDERS = [
    (number, random.Random(number).randrange(40), "bad" if number % 50 == 0 else number % 101)
    for number in range(1, 401)
]


CUSTOMERS = [(number, KINDS[number % 8]) for number in range(0, 36)]


def fill(mill: Mill) -> None:
    mill.root.mkdir(exist_ok=True)
    mill.write("orders.csv", "id,customer,amount", ORDERS)
    mill.write("customers.csv", "nr,kind", CUSTOMERS)
    for name in ("big", "small"):
        mill.table(name, "id bigint, customer bigint, amount integer, kind text")
    mill.table("counts", "kind text, n bigint, total bigint")
    mill.table("latest", "id bigint, customer bigint")


def check_tables(mill: Mill) -> None:
    good = [(n, c, a) for n, c, a in ORDERS if a != "bad"]
    kinds = dict(CUSTOMERS)
    assert mill.rows("SELECT id, customer, amount, kind FROM big ORDER BY id") == [
        (n, c, a, kinds.get(c)) for n, c, a in good if a > 50
    ]
    assert mill.rows("SELECT id FROM small ORDER BY id") == [(n,) for n, _, a in good if a <= 50]
    groups = {kind: [a for _, c, a in good if kinds.get(c) == kind] for kind in [*KINDS, None]}
    found = {kind: (n, total) for kind, n, total in mill.rows("SELECT kind, n, total FROM counts")}
    assert len(mill.rows("SELECT FROM counts")) == len(found)
    assert found == {kind: (len(amounts), sum(amounts)) for kind, amounts in groups.items() if amounts}
    latest = {c: n for n, c, _ in good}
    assert mill.rows("SELECT id, customer FROM latest ORDER BY id") == sorted((n, c) for c, n in latest.items())


def check(mill: Mill) -> None:
    check_tables(mill)
    latest, found = mill.rows("SELECT FROM latest"), mill.rows("SELECT FROM counts")
    flow = mill.flow("orders", "clean", "both", "by", "big", "small", "groups", "counts", "one", "latest")
    assert flow["orders"] == (400, 400, 0, 0)
    assert flow["clean"] == (400, 392, 8, 0)
    assert flow["both"] == (392 + 36, 392, 0, 0)
    assert flow["by"] == (392, 392, 0, 0)
    assert flow["groups"] == (392, len(found), 0, 0)
    assert flow["counts"] == (len(found), len(found), 0, 0)
    assert flow["one"] == (392, len(latest), 0, 392 - len(latest))
    assert len(mill.recorder.errors) == 8
