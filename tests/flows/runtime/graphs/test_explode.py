"""`explode` in a run: rows of several partitions into a table, with counts of created and skipped rows."""

from __future__ import annotations

import json

import pytest

from headrace.flows.runtime.errors import RunFailed
from tests.flows.runtime.graphs.world import Mill, source, target, transform

pytestmark = pytest.mark.postgres

ORDERS = source("orders.csv", {"id": "integer", "tags": "text"})


def test_every_element_lands_once_and_what_fails_is_kept_as_it_was_read(mill: Mill) -> None:
    mill.table("tags", "id integer, tag text")
    mill.write("orders.csv", "id,tags", [(n, f"a{n};b{n};" if n % 3 else "") for n in range(1, 2001)])
    explode = {"type": "explode", "field": "tags", "to": "tag", "separator": ";", "keepEmpty": False}
    check = {
        "id": "check",
        "kind": "validate",
        "input": "make",
        "rowLevel": [
            {"id": "given", "field": "tag", "rule": "not_empty", "onFail": "skip"},
            {"id": "no-b7", "field": "tag", "rule": "ne:b7"},
        ],
        "quarantine": {"table": "dlq.tags"},
    }
    nodes = [ORDERS, transform("make", "src", explode), check, target("tgt", "check", "tags")]
    totals = mill.run(nodes, batch=300)
    given = [n for n in range(1, 2001) if n % 3]
    assert sorted(mill.rows("SELECT id, tag FROM tags")) == sorted(
        (n, f"{letter}{n}") for n in given for letter in "ab" if f"{letter}{n}" != "b7"
    )
    made = len(given) * 3
    assert mill.flow("make", "check", "tgt") == {
        "make": (2000, made, 0, 2000 - len(given)),
        "check": (made, made - len(given) - 1, 1, len(given)),
        "tgt": (made - len(given) - 1, made - len(given) - 1, 0, 0),
    }
    assert (totals.rows_in, totals.rows_out, totals.failed) == (2000, len(given) * 2 - 1, 1)
    assert [(row, column) for _, row, column, *_ in mill.recorder.errors] == [(600_002, "tag")]
    ((kept,),) = mill.rows('SELECT "row" FROM dlq.tags')
    assert (kept if isinstance(kept, dict) else json.loads(kept)) == {"id": 7, "tags": "a7;b7;"}


def test_a_list_that_is_none_may_stop_the_run(mill: Mill) -> None:
    mill.table("tags", "id integer, tags text")
    mill.write("orders.csv", "id,tags", [(1, "[1]"), (2, "oops")])
    nodes = [
        ORDERS,
        transform("make", "src", {"type": "explode", "field": "tags", "onError": "abort"}),
        target("tgt", "make", "tags"),
    ]
    with pytest.raises(RunFailed, match="Expected a JSON list"):
        mill.run(nodes)
    assert mill.rows("SELECT * FROM tags") == []
