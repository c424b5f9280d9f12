"""Fan-out and branches: one read, several targets, every node counted once, exact however a run dies."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.flows.resume.continuation import Continuation
from headrace.flows.resume.failed_rows import OpenPartition
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.execute import RunTotals
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from tests.flows.runtime.graphs.world import Mill, Node, source, target, transform

pytestmark = pytest.mark.postgres

FIELDS = {"id": "bigint", "kind": "text", "amount": "text"}
CAST = {"type": "cast", "field": "amount", "to": "integer"}
ROWS = [(1, "a", "10"), (2, "b", "x"), (3, "a", "-5"), (4, "c", "7"), (5, "b", "9")]


@pytest.fixture
def shop(mill: Mill) -> Mill:
    mill.write("orders.csv", "id,kind,amount", ROWS)
    for name in ("one", "two", "three"):
        mill.table(name, "id bigint, kind text, amount integer CHECK (amount <> 7)")
    return mill


def fanned() -> list[Node]:
    return [
        source("orders.csv", FIELDS),
        transform("clean", "src", CAST),
        target("all", "clean", "one"),
        transform("positive", "clean", {"type": "filter", "expression": "amount > 0"}),
        target("some", "positive", "two"),
    ]


def test_a_node_may_be_read_by_several_and_the_source_is_read_once(shop: Mill) -> None:
    totals = shop.run(fanned())
    assert shop.rows("SELECT id FROM one ORDER BY id") == [(1,), (3,), (5,)]
    assert shop.rows("SELECT id FROM two ORDER BY id") == [(1,), (5,)]
    assert shop.flow("src", "clean", "all", "positive", "some") == {
        "src": (5, 5, 0, 0),
        "clean": (5, 4, 1, 0),
        "all": (4, 3, 1, 0),
        "positive": (4, 3, 0, 1),
        "some": (3, 2, 1, 0),
    }
    assert totals == RunTotals(rows_in=5, rows_out=5, failed=3, skipped=1)
    assert [(node, row) for node, row, *_ in shop.recorder.errors] == [("clean", 2), ("all", 4), ("some", 4)]


def branched(default: str = "drop") -> list[Node]:
    return [
        source("orders.csv", FIELDS),
        {
            "id": "by",
            "kind": "branch",
            "input": "src",
            "routes": [{"name": "a", "when": "kind = 'a'"}, {"name": "late", "when": "id > 3"}],
            "default": default,
        },
        target("first", "by.a", "one"),
        target("second", "by.late", "two"),
    ]


def test_a_row_takes_the_first_route_that_matches_and_dropped_ones_are_counted(shop: Mill) -> None:
    assert shop.run(branched()) == RunTotals(rows_in=5, rows_out=3, failed=1, skipped=1)
    assert shop.rows("SELECT id FROM one ORDER BY id") == [(1,), (3,)]
    assert shop.rows("SELECT id FROM two ORDER BY id") == [(5,)]
    assert shop.flow("by", "first", "second") == {"by": (5, 4, 0, 1), "first": (2, 2, 0, 0), "second": (2, 1, 1, 0)}


def test_rows_of_a_route_that_nothing_reads_are_skipped(shop: Mill) -> None:
    nodes = branched("a")
    assert shop.run(nodes[:3]) == RunTotals(rows_in=5, rows_out=2, failed=1, skipped=2)
    assert shop.flow("by") == {"by": (5, 3, 0, 2)}


def test_a_default_may_be_a_route_of_its_own(shop: Mill) -> None:
    nodes = [*branched("rest"), target("third", "by.rest", "three")]
    assert shop.run(nodes) == RunTotals(rows_in=5, rows_out=3, failed=2, skipped=0)


def test_branches_fork_again_and_a_route_may_be_read_twice(shop: Mill) -> None:
    nodes = [
        *branched(),
        transform("loud", "by.a", {"type": "expression", "field": "kind", "expression": "upper(kind)"}),
        target("third", "loud", "three"),
    ]
    shop.run(nodes)
    assert shop.rows("SELECT id, kind FROM three ORDER BY id") == [(1, "A"), (3, "A")]
    assert shop.rows("SELECT id, kind FROM one ORDER BY id") == [(1, "a"), (3, "a")]
    assert shop.flow("by")["by"] == (5, 4, 0, 1)


def test_a_condition_that_cannot_be_computed_fails_its_row_alone(shop: Mill) -> None:
    nodes = branched()
    nodes[1]["routes"][0]["when"] = "cast(amount as int) > 8"
    assert shop.run(nodes) == RunTotals(rows_in=5, rows_out=2, failed=2, skipped=1)
    assert [(node, row, column) for node, row, column, *_ in shop.recorder.errors][:1] == [("by", 2, None)]


def test_targets_of_one_stage_may_have_different_load_modes(shop: Mill) -> None:
    shop.rows("INSERT INTO two VALUES (99, 'old', 1) RETURNING 1")
    nodes = fanned()
    nodes[4]["loadMode"] = "replace"
    shop.run(nodes)
    assert shop.rows("SELECT id FROM two ORDER BY id") == [(1,), (5,)]
    assert shop.rows("SELECT id FROM one ORDER BY id") == [(1,), (3,), (5,)]
    assert shop.flow("some") == {"some": (3, 2, 1, 0)}


@pytest.mark.parametrize("lost", ["all", "some", "both"])
def test_a_target_that_is_after_catches_up_without_doubling_the_other(shop: Mill, lost: str) -> None:
    rows = [(number, "abc"[number % 3], str(number % 50 + 10)) for number in range(1, 1001)]
    shop.write("orders.csv", "id,kind,amount", rows)
    first = shop.execution(fanned(), batch=100)
    first.begin()
    stage = first.prepared.plan.stages[0]
    written = 0

    def dying(sink: str) -> Any:
        original = first._loader

        def loader(of: Any, index: int) -> Any:
            made = original(of, index)
            if of.id == sink:
                write = made.write

                def fails(*args: Any) -> Any:
                    nonlocal written
                    written += 1
                    if written > 3:
                        raise RunFailed("killed")
                    return write(*args)

                made.write = fails
            return made

        return loader

    first._loader = dying("all" if lost == "all" else "some")  # type: ignore[method-assign]
    with pytest.raises(RunFailed, match="killed"):
        first.partition(stage, 0)
    if lost == "both":  # nothing of what was held back is left
        shop.rows("DELETE FROM _headrace.ledger WHERE target_node = 'some' RETURNING 1")
        shop.rows("DELETE FROM two RETURNING 1")
    again = shop.execution(fanned(), "run_2", root="run_1", earlier=stored_plan(first.prepared), batch=130)
    totals = run_in_threads(again)
    assert totals == RunTotals(rows_in=1000, rows_out=2000, failed=0, skipped=0)
    for name in ("one", "two"):
        assert shop.rows(f"SELECT count(*), count(DISTINCT id) FROM {name}") == [(1000, 1000)]
    assert shop.flow("src", "clean", "positive", "some")["positive"] == (1000, 1000, 0, 0)


def test_failed_rows_of_a_branch_run_again_and_go_where_they_belong_now(shop: Mill) -> None:
    first = shop.execution(branched())
    run_in_threads(first)
    job = first.prepared.job
    job.pipeline.ir["nodes"][1]["routes"][1]["when"] = "id > 4"
    job.pipeline.ir["nodes"][1]["routes"][0]["when"] = "kind = 'a' or id = 4"
    shop.alter("ALTER TABLE one DROP CONSTRAINT one_amount_check")
    replay = Continuation(
        "run_2",
        origin_run_id="run_1",
        earlier_plan=stored_plan(first.prepared),
        open_rows={("src", 0): OpenPartition([4], {})},
    )
    again = type(first)(
        prepare(type(job)("run_2", job.pipeline, job.database_url, job.files_root, replay)), shop.recorder
    )
    assert run_in_threads(again) == RunTotals(rows_in=1, rows_out=1, failed=0, skipped=0)
    assert shop.rows("SELECT id FROM one ORDER BY id") == [(1,), (3,), (4,)]
