"""The op `sql` in a run: its rows are numbered, a retry finds the same ones, and it ends when the run is cancelled."""

from __future__ import annotations

import threading
import time

import pytest

from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.partition import Stopped
from headrace.flows.runtime.scheduler import run_in_threads
from tests.flows.runtime.graphs.world import Mill, source, target, transform

pytestmark = pytest.mark.postgres

SOURCE = source("orders.csv", {"id": "bigint", "kind": "text", "amount": "decimal"})


def sql(query: str) -> dict[str, str]:
    return {"type": "sql", "query": query}


def write(mill: Mill, count: int) -> None:
    mill.write("orders.csv", "id,kind,amount", [(n, "abc"[n % 3], f"{n}.5") for n in range(1, count + 1)])


def test_windows_and_exact_sums_arrive_in_the_table(mill: Mill) -> None:
    write(mill, 30)
    mill.table("totals", "kind text, total numeric, first bigint, rank int")
    text = """
        WITH sums AS (SELECT kind, sum(amount) AS total, min(id) AS first FROM input GROUP BY kind)
        SELECT *, rank() OVER (ORDER BY total DESC) AS rank FROM sums
    """
    totals = mill.run([SOURCE, transform("q", "src", sql(text)), target("to", "q", "totals")])
    assert totals.rows_out == 3
    assert [
        (kind, str(total)) for kind, total in mill.rows("SELECT kind, total::numeric(9, 1) FROM totals ORDER BY 1")
    ] == [
        ("a", "170.0"),
        ("b", "150.0"),
        ("c", "160.0"),
    ]
    assert mill.flow("q") == {"q": (30, 3, 0, 0)}


def test_rows_of_a_query_are_numbered_again(mill: Mill) -> None:
    write(mill, 10)
    mill.table("kinds", "id bigint NOT NULL")
    checked = {
        "id": "check",
        "kind": "validate",
        "input": "q",
        "rowLevel": [{"id": "r", "field": "id", "rule": "ne:7"}],
    }
    query = sql("SELECT id FROM input ORDER BY id DESC")
    mill.run([SOURCE, transform("q", "src", query), checked, target("to", "check", "kinds")])
    assert [(row, value) for _, row, _, value, _ in mill.recorder.errors] == [(4, "7")]


def test_a_value_that_a_query_cannot_cast_fails_the_run_with_its_reason(mill: Mill) -> None:
    write(mill, 3)
    mill.table("bad", "v int")
    nodes = [SOURCE, transform("q", "src", sql("SELECT CAST(kind AS INT) AS v FROM input")), target("to", "q", "bad")]
    with pytest.raises(RunFailed, match=r"q: .* cannot be computed: Could not convert string"):
        mill.run(nodes)


def test_a_cancelled_run_ends_its_query_at_once(mill: Mill) -> None:
    write(mill, 3_000)
    mill.table("endless", "n bigint")
    text = "SELECT count(*) AS n FROM input i, input j, input k, input l WHERE concat(i.id, j.id, k.id, l.id) = 'x'"
    execution = mill.execution([SOURCE, transform("q", "src", sql(text)), target("to", "q", "endless")])
    threading.Timer(4, execution.stop).start()
    begun = time.monotonic()
    with pytest.raises(Stopped):
        run_in_threads(execution)
    assert time.monotonic() - begun < 60
    assert mill.rows("SELECT * FROM endless") == []
