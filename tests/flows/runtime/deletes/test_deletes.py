"""Rows that are deleted in the source are removed, closed or marked, and no others, whatever dies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from headrace.connectors.errors import SourceError, TargetError
from headrace.connectors.postgresql import deletes
from headrace.connectors.source import Partition
from headrace.connectors.sql.source import SqlSource
from headrace.flows.dry_run.plan import plan_run
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.errors import PlanFailed
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from headrace.ir import parse_ir
from tests.flows.runtime.deletes.feed import Feed
from tests.flows.runtime.dying import Killed
from tests.flows.runtime.graphs.world import document

pytestmark = pytest.mark.postgres

HISTORY = "id bigint, name text, v bigint, valid_from timestamptz, valid_to timestamptz, is_current boolean"


@pytest.mark.parametrize("feed", ["postgresql", "mysql"], indirect=True)
def test_an_upsert_removes_what_the_source_deleted(feed: Feed) -> None:
    nodes = feed.nodes()
    assert feed.run(nodes).rows_out == 10
    feed.put(3, 11, name="new")
    feed.delete("id IN (2, 7)")
    totals = feed.run(nodes)
    assert (totals.rows_in, totals.rows_out) == (2, 2)
    assert feed.loaded() == [1, 3, 4, 5, 6, 8, 9, 10, 11]
    assert feed.counters()["tgt"]["deleted"] == 2
    assert "2 of 11 rows removed" in feed.said
    assert "(9 keys compared)" in feed.said
    # also by a run that has nothing else to do
    feed.delete("id = 1")
    assert feed.run(nodes).rows_in == 0
    assert feed.loaded() == [3, 4, 5, 6, 8, 9, 10, 11]


def test_a_history_ends_with_the_delete_and_begins_again_with_the_return(feed: Feed) -> None:
    feed.alter("DROP TABLE public.one")
    feed.table("one", HISTORY)
    nodes = feed.nodes("scd2")
    feed.run(nodes)
    feed.delete("id = 5")
    feed.run(nodes)
    assert feed.loaded("id", "is_current") == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    [(closed,)] = feed.rows("SELECT valid_to >= valid_from FROM public.one WHERE id = 5 AND NOT is_current")
    assert closed
    assert "1 of 10 rows closed" in feed.said
    feed.put(5)
    feed.run(nodes)
    assert feed.loaded("id, is_current", "id = 5") == [(5, False), (5, True)]


@pytest.mark.parametrize(
    "kind", ["timestamptz", pytest.param("boolean NOT NULL DEFAULT false", marks=pytest.mark.slow)]
)
def test_a_mark_is_set_and_taken_back(feed: Feed, kind: str) -> None:
    feed.alter(f"ALTER TABLE public.one ADD COLUMN gone {kind}")
    nodes = feed.nodes(action="mark", column="gone")
    marked = "gone" if kind.startswith("boolean") else "gone IS NOT NULL"
    feed.run(nodes)
    feed.delete("id IN (4, 5)")
    feed.run(nodes)
    assert feed.loaded("id", marked) == [4, 5]
    before = feed.rows("SELECT * FROM public.one ORDER BY id")
    feed.run(nodes)
    assert feed.rows("SELECT * FROM public.one ORDER BY id") == before, "a mark stays as it was set"
    feed.put(5)
    feed.run(nodes)
    assert feed.loaded("id", marked) == [4]
    assert "1 are there again" in feed.said


@pytest.mark.parametrize(
    ("left", "share", "said"),
    [
        ("false", 0.5, "has no rows at all"),
        pytest.param("id <= 4", 0.5, "has 4 keys", marks=pytest.mark.slow),
        pytest.param("id <= 7", 0.2, "20%", marks=pytest.mark.slow),
    ],
)
def test_a_source_that_lost_too_much_takes_nothing(feed: Feed, left: str, share: float, said: str) -> None:
    nodes = feed.nodes(maxShare=share)
    feed.run(nodes)
    feed.delete(f"NOT ({left})")
    with pytest.raises(TargetError, match=said) as error:
        feed.run(nodes)
    assert error.value.code == "too_many_deletes"
    assert "maxShare" in error.value.hint
    assert feed.loaded() == list(range(1, 11))
    feed.run(feed.nodes(maxShare=1))
    assert feed.loaded() == ([] if left == "false" else list(range(1, 5 if "4" in left else 8)))


def test_only_rows_that_the_pipeline_loaded_are_compared(feed: Feed) -> None:
    feed.alter("INSERT INTO public.one VALUES (100, 'by hand', 0)")
    feed.run(feed.nodes())
    feed.put(200)
    other = [
        feed.source(query="SELECT * FROM shop.t WHERE id = 200", key=["id"], cursor=None, table=None),
        feed.nodes()[1],
    ]
    for node in other:
        if node["kind"] == "source":
            node["config"] = {"query": "SELECT * FROM shop.t WHERE id = 200", "key": ["id"]}
    run_in_threads(feed.execution(other, pipeline="pipe_2"))
    feed.delete("id IN (200, 10)")
    feed.run(feed.nodes())
    assert feed.loaded() == [*range(1, 10), 100, 200], "200 is the other pipeline's now"
    feed.run(feed.nodes(scope="table"))
    assert feed.loaded() == list(range(1, 10))


def test_keys_of_several_columns_under_other_names(feed: Feed) -> None:
    feed.alter("CREATE TABLE public.pairs (part text, number numeric, v bigint, PRIMARY KEY (part, number))")
    feed.put(1, name="N")
    ops = [{"type": "rename", "from": "name", "to": "piece"}, {"type": "filter", "expression": "id <> 9"}]
    nodes = [
        feed.source(),
        {"id": "clean", "kind": "transform", "input": "src", "ops": ops},
        {
            "id": "tgt",
            "kind": "target",
            "input": "clean",
            "schema": "public.pairs",
            "loadMode": "upsert",
            "upsertKey": ["part", "number"],
            "mapping": {"part": "piece", "number": "id"},
            "deletes": {},
        },
    ]
    feed.run(nodes)
    feed.origin.make("UPDATE t SET name = 'n1', v = v + 100 WHERE id = 1")
    feed.delete("id = 8")
    feed.run(nodes)
    assert feed.rows("SELECT part, number::int FROM public.pairs ORDER BY 2") == [
        (f"n{n}", n) for n in (1, 2, 3, 4, 5, 6, 7, 10)
    ]


def test_a_document_says_what_may_become_of_deleted_rows() -> None:
    def problems(**target: Any) -> list[tuple[str, str]]:
        node = {"id": "tgt", "kind": "target", "input": "src", "schema": "public.one", "upsertKey": "id", **target}
        source = {"id": "src", "kind": "source", "connector": "postgresql", "config": {"table": "t"}}
        return [(each.path, each.code) for each in parse_ir(document([source, node])).problems]

    assert problems(loadMode="upsert", deletes={}) == []
    assert problems(loadMode="scd2", deletes={"action": "close"}) == []
    assert problems(loadMode="upsert", deletes={"action": "mark", "column": "gone"}) == []
    assert problems(loadMode="append", deletes={}) == [("nodes[1]", "bad_option")]
    assert problems(loadMode="upsert", deletes={"action": "close"}) == [("nodes[1]", "bad_option")]
    assert problems(loadMode="scd2", deletes={"action": "remove"}) == [("nodes[1]", "bad_option")]
    assert problems(loadMode="upsert", deletes={"action": "mark"}) == [("nodes[1].deletes", "missing_field")]
    assert problems(loadMode="upsert", deletes={"column": "gone"}) == [("nodes[1].deletes", "bad_option")]
    assert problems(loadMode="upsert", deletes={"action": "mark", "column": "id"}) == [("nodes[1]", "bad_option")]
    assert problems(loadMode="upsert", deletes={"maxShare": 0}) == [("nodes[1].deletes.maxShare", "greater_than")]


def _dies(monkeypatch: pytest.MonkeyPatch, at: int) -> Callable[[], bool]:
    """Around each step of a comparison; the n-th is not passed."""
    steps = iter(range(10**6))
    died: list[int] = []

    def around(work: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            for after in (False, True):
                if after:
                    result = work(*args, **kwargs)
                if next(steps) == at:
                    died.append(at)
                    raise Killed
            return result

        return watched

    for name in ("copy_rows", "record_publication", "find_row"):
        monkeypatch.setattr(deletes, name, around(getattr(deletes, name)))
    monkeypatch.setattr(deletes.KeyComparison, "compare", around(deletes.KeyComparison.compare))
    return lambda: bool(died)


@pytest.mark.parametrize(
    ("mode", "steps"),
    [
        ("upsert", range(5, 7)),
        *(pytest.param(mode, range(20), marks=pytest.mark.slow) for mode in ("upsert", "mark", "scd2")),
    ],
)
def test_wherever_it_dies_a_retry_takes_what_is_gone_once(
    feed: Feed, mode: str, steps: range, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaths = 0
    for at in steps:
        feed.alter("DROP TABLE public.one")
        feed.table("one", f"{HISTORY}, gone timestamptz")
        if mode != "scd2":
            feed.alter("CREATE UNIQUE INDEX ON public.one (id)")
        feed.put(1, 2, 3, 4)
        nodes = feed.nodes("upsert", action="mark", column="gone") if mode == "mark" else feed.nodes(mode)
        feed.run(nodes, pipeline=f"pipe_{at}")
        feed.put(5, name="x")
        feed.delete("id = 3")
        first = feed.execution(nodes, pipeline=f"pipe_{at}")
        run_id = first.prepared.job.run_id
        with monkeypatch.context() as patched:
            died = _dies(patched, at)
            try:
                run_in_threads(first)
            except Killed:
                assert died()
        if not died():
            break
        deaths += 1
        feed.recorder.lines.clear()
        continues = Continuation(root_run_id=run_id, earlier_plan=stored_plan(first.prepared))
        totals = run_in_threads(feed.execution(nodes, f"{run_id}x", pipeline=f"pipe_{at}", continues=continues))
        assert (totals.rows_in, totals.rows_out, totals.failed) == (1, 1, 0)
        left = {"upsert": "true", "mark": "gone IS NULL", "scd2": "is_current"}[mode]
        assert feed.loaded("id", left) == [1, 2, 4, *range(5, 11)]
        counted = "SELECT counters -> 'tgt' ->> 'deleted' FROM _headrace.ledger WHERE kind = 'comparison' AND "
        assert feed.rows(f"{counted} root_run_id = '{run_id}'") == [("1",)]
    assert deaths >= min(5, len(steps))


def test_a_source_that_is_lost_in_the_middle_is_read_again(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = feed.nodes()
    feed.run(nodes)
    feed.delete("id = 6")
    lost = iter([True, False])
    read = SqlSource.read

    def breaking(self: SqlSource, partition: Partition, *args: Any, **kwargs: Any) -> Any:
        yield from read(self, partition, *args, **kwargs)
        if "cursor" not in partition.location and next(lost):
            raise SourceError("connection_lost", "The connection was lost.")

    execution = feed.execution(nodes)
    monkeypatch.setattr(SqlSource, "read", breaking)
    monkeypatch.setattr("headrace.flows.runtime.deletes.comparison.time.sleep", lambda seconds: None)
    run_in_threads(execution)
    assert next(lost, None) is None
    assert feed.loaded() == [1, 2, 3, 4, 5, 7, 8, 9, 10]


def test_rows_that_others_refer_to_are_not_removed(feed: Feed) -> None:
    feed.run(feed.nodes())
    feed.alter("CREATE TABLE public.lines (of bigint REFERENCES public.one); INSERT INTO public.lines VALUES (2)")
    feed.delete("id IN (1, 2)")
    with pytest.raises(TargetError, match="another table refers to them") as error:
        feed.run(feed.nodes())
    assert "mark" in error.value.hint
    assert feed.loaded() == list(range(1, 11))


def test_what_a_run_will_do_is_in_its_plan(feed: Feed) -> None:
    feed.run(feed.nodes())
    feed.delete("id = 1")
    plan = plan_run(feed.job(feed.nodes(maxShare=0.25), "run_planned"))
    assert (
        "public.one: rows whose key shop.t has no more are removed, at most 25% of the rows that this pipeline loaded"
        in plan.notes
    )
    assert 'DELETE FROM "public"."one"' in plan.targets[0].sql
    assert feed.loaded() == list(range(1, 11))


def test_a_marked_column_must_be_there_and_not_of_the_data(feed: Feed) -> None:
    for column, code in (("nowhere", "marked_column"), ("name", "marked_column")):
        with pytest.raises(PlanFailed) as error:
            prepare(feed.job(feed.nodes(action="mark", column=column), "run_1"))
        [problem] = error.value.problems
        assert (problem.path, problem.code) == ("nodes[1].deletes.column", code)


@pytest.mark.parametrize(
    ("ops", "code"),
    [
        ([{"type": "expression", "field": "id", "expression": "id + 1"}], "computed_key"),
        (
            [{"type": "cast", "field": "id", "to": "text"}, {"type": "cast", "field": "id", "to": "bigint"}],
            "computed_key",
        ),
    ],
)
def test_a_key_that_is_computed_cannot_be_compared(feed: Feed, ops: list[dict[str, Any]], code: str) -> None:
    clean = {"id": "clean", "kind": "transform", "input": "src", "ops": ops}
    nodes = [feed.source(), clean, {**feed.nodes()[1], "input": "clean"}]
    with pytest.raises(PlanFailed) as error:
        prepare(feed.job(nodes, "run_1"))
    assert [problem.code for problem in error.value.problems] == [code]


def test_a_column_is_a_name_whatever_is_in_it(feed: Feed) -> None:
    feed.alter('ALTER TABLE public.one ADD COLUMN "go""ne; DROP TABLE x" timestamptz')
    nodes = feed.nodes(action="mark", column='go"ne; DROP TABLE x')
    feed.run(nodes)
    feed.delete("id = 1")
    feed.run(nodes)
    assert feed.loaded("id", '"go""ne; DROP TABLE x" IS NOT NULL') == [1]
