"""Failed rows, originals and cursors are stored in the target's database and found there."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from headrace.connectors.errors import TargetError
from headrace.flows.resume.continuation import Continuation
from headrace.flows.resume.failed_rows import find_open_rows
from headrace.flows.resume.ledgers import Ledgers
from headrace.flows.resume.stored_plan import StoredPlan
from headrace.flows.runtime.errors import SourceChanged
from headrace.flows.runtime.execute import Execution
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from tests.flows.runtime.graphs.world import Mill, Node, source, target
from tests.second_database import SecondDatabase

pytestmark = pytest.mark.postgres

CHECK = {
    "id": "check",
    "kind": "validate",
    "input": "src",
    "rowLevel": [{"id": "small", "field": "amount", "rule": "lt:90", "onFail": "quarantine"}],
    "quarantine": {"table": "dlq.orders"},
}


def checked(limit: int, first: Node) -> list[Node]:
    rule = {**CHECK["rowLevel"][0], "rule": f"lt:{limit}"}  # type: ignore[index]
    return [first, {**CHECK, "rowLevel": [rule]}, target("tgt", "check", "orders", connection="shop")]


def failed_rows(mill: Mill, run: Execution, rows: list[int]) -> Continuation:
    """A replay of these rows of the first partition."""
    plan = stored_plan(run.prepared)
    replayed = Ledgers.of(*run.prepared.job.databases.all).replayed([None], "run_1")
    found = find_open_rows(StoredPlan.of(plan), {(0, 0, "check"): rows}, replayed)
    return Continuation("run_2", retry_of="run_1", origin_run_id="run_1", earlier_plan=plan, open_rows=found)


def table(second: SecondDatabase) -> None:
    second.alter("CREATE TABLE public.orders (id bigint, amount integer)")


def test_failed_rows_leave_the_quarantine_there_when_a_replay_loads_them(mill: Mill, second: SecondDatabase) -> None:
    table(second)
    mill.write("orders.csv", "id,amount", [(row, row) for row in range(1, 101)])
    read = source("orders.csv", {"id": "bigint", "amount": "integer"})
    run = mill.execution(checked(90, read), parallelism=1)
    totals = run_in_threads(run)
    assert (totals.rows_out, totals.failed) == (89, 11)
    assert second.rows("SELECT count(*) FROM dlq.orders") == [(11,)]
    assert mill.rows("SELECT to_regclass('dlq.orders') IS NULL") == [(True,)]

    again = mill.execution(
        checked(1000, read), "run_2", continues=failed_rows(mill, run, [*range(90, 101)]), parallelism=1
    )
    assert run_in_threads(again).rows_out == 11
    assert second.rows("SELECT count(*), count(DISTINCT id) FROM public.orders") == [(100, 100)]
    assert second.rows("SELECT count(*) FROM dlq.orders") == [(0,)]
    replayed = Ledgers.of(*again.prepared.job.databases.all).replayed([None], "run_1")
    assert [(each.target_node, len(each.rows)) for each in replayed] == [("tgt", 11)]


def from_table(second: SecondDatabase, **config: Any) -> Node:
    return {
        "id": "src",
        "kind": "source",
        "connector": "postgresql",
        "connection": "shop",
        "config": {"table": "public.source", **config},
    }


@pytest.fixture
def live(second: SecondDatabase) -> SecondDatabase:
    """A table to read from beside the target."""
    table(second)
    second.alter("CREATE TABLE public.source (id bigint PRIMARY KEY, amount integer)")
    second.alter("INSERT INTO public.source SELECT n, n FROM generate_series(1, 100) n")
    return second


def test_originals_of_a_live_table_are_kept_there_and_replayed(mill: Mill, live: SecondDatabase) -> None:
    read = from_table(live, partitioning={"by": "none"})
    run = mill.execution(checked(90, read), parallelism=1)
    run_in_threads(run)
    assert live.rows("SELECT count(*) > 0 FROM _headrace.originals") == [(True,)]
    assert mill.rows("SELECT count(*) FROM _headrace.originals") == [(0,)]
    plan = stored_plan(run.prepared)
    assert (plan["databases"], plan["keptIn"]) == ({"tgt": "conn_2"}, "conn_2")

    live.alter("UPDATE public.source SET amount = -1")  # what failed is loaded as it was read
    continues = failed_rows(mill, run, _rows_of(run, range(90, 101)))
    again = mill.execution(checked(1000, read), "run_2", continues=continues, parallelism=1)
    assert run_in_threads(again).rows_out == 11
    assert live.rows("SELECT min(amount), max(amount) FROM public.orders WHERE id >= 90") == [(90, 100)]
    assert stored_plan(again.prepared)["keptIn"] == "conn_2"

    elsewhere = [read, *checked(1000, read)[1:2], target("tgt", "check", "orders")]
    mill.table("orders", "id bigint, amount integer")
    with pytest.raises(SourceChanged, match="kept in the database of the connector conn_2"):
        mill.execution(elsewhere, "run_3", continues=continues, parallelism=1)


def _rows_of(run: Execution, numbers: range) -> list[int]:
    """The row numbers of the first partition's rows."""
    (partition,) = run.prepared.plan.stages[0].partitions
    return [partition.first_row + number - 1 for number in numbers]


def test_a_cursor_moves_with_the_rows_there(mill: Mill, live: SecondDatabase) -> None:
    read = from_table(live, cursor={"column": "id"})
    nodes = [read, target("tgt", "src", "orders", connection="shop")]
    assert mill.run(nodes, run_id="run_1").rows_out == 100
    live.alter("INSERT INTO public.source SELECT n, n FROM generate_series(101, 130) n")
    assert mill.run(nodes, run_id="run_2").rows_out == 30
    assert live.rows("SELECT target_node, run_id FROM _headrace.cursors") == [("tgt", "run_2")]
    assert mill.rows("SELECT count(*) FROM _headrace.cursors") == [(0,)]


def test_a_database_that_is_away_is_not_a_database_without_a_ledger(mill: Mill, live: SecondDatabase) -> None:
    nodes = [source("orders.csv", {"id": "bigint"}), target("tgt", "src", "orders", connection="shop")]
    mill.write("orders.csv", "id", [(1,)])
    databases = mill.execution(nodes).prepared.job.databases.all
    live.alter("ALTER ROLE loader PASSWORD 'changed'")
    try:
        with pytest.raises(TargetError, match="password authentication failed"):
            Ledgers.of(*databases).committed([None], ["run_1"])
    finally:
        with psycopg.connect(live.superuser, autocommit=True) as connection:
            connection.execute("ALTER ROLE loader PASSWORD 's3same'")
