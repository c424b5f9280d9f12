"""Ops that need all rows: results with SQL's meaning, in any number of buckets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from headrace.connectors.errors import TargetError
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.execute import RunTotals
from tests.flows.runtime.graphs.world import Mill, Node, source, target, transform

pytestmark = pytest.mark.postgres

FIELDS = {"id": "bigint", "kind": "text", "amount": "decimal", "at": "date"}
ROWS = [
    (1, "a", "1.10", "2024-01-03"),
    (2, "b", "2.25", "2024-01-01"),
    (3, "a", "", "2024-01-02"),
    (4, "", "5", "2024-01-05"),
    (5, "b", "2.35", ""),
    (6, "c", "", "2024-01-09"),
]


@pytest.fixture
def mill(mill: Mill, spread: None) -> Iterator[Mill]:
    mill.write("orders.csv", "id,kind,amount,at", ROWS)
    yield mill
    folder = mill.root.with_name(".files-staging")
    assert not folder.exists() or not list(folder.iterdir())  # nothing is left of a run that went well


def over(*ops: dict[str, Any], table: str = "out", **options: Any) -> list[Node]:
    return [source("orders.csv", FIELDS), transform("make", "src", *ops), target("tgt", "make", table, **options)]


AGGREGATES = [("count", None, "n")] + [
    (fn, "amount", fn)
    for fn in ("count", "count_distinct", "sum", "mean", "min", "max", "first", "last", "median", "stddev")
]


def aggregate(group_by: list[str]) -> dict[str, Any]:
    made = [
        {"fn": fn, "as": name if name != "count" else "values"} | ({"field": f} if f else {})
        for fn, f, name in AGGREGATES
    ]
    return {"type": "aggregate", "groupBy": group_by, "aggregations": made}


def test_aggregates_are_those_of_sql(mill: Mill) -> None:
    columns = (
        "n bigint, values bigint, count_distinct bigint, sum numeric, mean numeric, min numeric, max numeric, "
        "first numeric, last numeric, median numeric, stddev double precision"
    )
    mill.table("out", f"kind text, {columns}")
    mill.table("raw", "id bigint, kind text, amount numeric, at date")
    mill.run([*over(aggregate(["kind"])), target("raw", "src", "raw")])
    expected = """
        SELECT kind, count(*), count(amount), count(DISTINCT amount), sum(amount), avg(amount), min(amount),
          max(amount),
          (array_agg(amount ORDER BY id))[1], (array_agg(amount ORDER BY id DESC))[1],
          CASE kind WHEN 'b' THEN 2.30 ELSE max(amount) END, stddev(amount)::float
        FROM raw GROUP BY kind ORDER BY kind"""
    made = mill.rows(
        "SELECT * FROM out ORDER BY kind".replace(
            "*", "kind, n, values, count_distinct, sum, mean, min, max, first, last, median, stddev"
        )
    )
    wanted = mill.rows(expected)
    assert [row[:-1] for row in made] == [row[:-1] for row in wanted]
    assert [row[-1] for row in made] == [pytest.approx(row[-1]) if row[-1] is not None else None for row in wanted]
    assert mill.flow("make", "tgt") == {"make": (6, 4, 0, 0), "tgt": (4, 4, 0, 0)}


def test_without_groups_all_rows_are_one_even_when_there_are_none(mill: Mill) -> None:
    mill.table("out", "n bigint, values bigint, sum numeric, first numeric")
    mill.run(over(aggregate([])))
    assert mill.rows("SELECT n, values, sum, first FROM out") == [(6, 4, Decimal("10.70"), Decimal("1.10"))]
    mill.write("orders.csv", "id,kind,amount,at", [])
    mill.run(over(aggregate([])), run_id="run_2")
    assert (0, 0, None, None) in mill.rows("SELECT n, values, sum, first FROM out")


def test_sums_of_big_numbers_do_not_overflow(mill: Mill) -> None:
    mill.table("out", "sum numeric")
    mill.write("orders.csv", "id,kind,amount,at", [(2**63 - 1, "a", "1", ""), (2**63 - 1, "b", "1", "")])
    mill.run(over({"type": "aggregate", "aggregations": [{"field": "id", "fn": "sum", "as": "sum"}]}))
    assert mill.rows("SELECT sum FROM out") == [(2 * (2**63 - 1),)]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, [1, 2, 4, 6]),
        ({"keep": "last"}, [3, 4, 5, 6]),
        ({"orderBy": "at"}, [2, 3, 4, 6]),
        ({"orderBy": {"field": "at", "direction": "desc"}}, [1, 2, 4, 6]),
        ({"orderBy": "at", "keep": "last"}, [1, 2, 4, 6]),  # a null never wins
    ],
)
def test_one_row_of_each_key_is_kept_and_the_others_are_counted(
    mill: Mill, options: dict[str, Any], kept: list[int]
) -> None:
    mill.table("out", "id bigint, kind text")
    totals = mill.run(over({"type": "deduplicate", "keys": ["kind"], **options}))
    assert [row[0] for row in mill.rows("SELECT id FROM out ORDER BY id")] == kept
    assert totals == RunTotals(rows_in=6, rows_out=4, failed=0, skipped=2)
    assert mill.flow("make") == {"make": (6, 4, 0, 2)}


def test_errors_after_a_deduplicate_have_the_rows_of_the_source(mill: Mill) -> None:
    mill.table("out", "id bigint CHECK (id <> 4), kind text")
    ops = {"type": "deduplicate", "keys": ["kind"]}, {"type": "cast", "field": "kind", "to": "integer"}
    nodes = [source("orders.csv", FIELDS), transform("make", "src", *ops), target("tgt", "make", "out")]
    totals = mill.run(nodes)
    assert totals == RunTotals(rows_in=6, rows_out=0, failed=4, skipped=2)
    assert sorted((node, row) for node, row, *_ in mill.recorder.errors) == [
        ("make", 1),
        ("make", 2),
        ("make", 6),
        ("tgt", 4),
    ]


def test_rows_are_loaded_in_order(mill: Mill) -> None:
    mill.table("out", "id bigint, nr bigserial")
    by = [{"field": "kind", "direction": "desc"}, "amount"]
    mill.run(over({"type": "sort", "by": by}))
    assert [row[0] for row in mill.rows("SELECT id FROM out ORDER BY nr")] == [6, 2, 5, 1, 3, 4]


@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_what_does_not_fit_in_memory_is_sorted_range_by_range(
    mill: Mill, monkeypatch: pytest.MonkeyPatch, direction: str
) -> None:
    monkeypatch.setattr("headrace.flows.runtime.shuffle.pieces.PIECE_BYTES", 2_000)
    mill.table("out", "id bigint, kind text, amount numeric, nr bigserial")
    rows = [(n, "abcde"[n * 7 % 5], "" if n % 11 == 0 else n * 37 % 101, "") for n in range(1, 1001)]
    mill.write("orders.csv", "id,kind,amount,at", rows)
    mill.run(over({"type": "sort", "by": [{"field": "amount", "direction": direction}, "kind"]}), batch=170)
    order = f"amount {direction} NULLS LAST, kind, id"
    assert mill.rows("SELECT id FROM out ORDER BY nr") == mill.rows(f"SELECT id FROM out ORDER BY {order}")
    assert mill.rows("SELECT count(*), count(DISTINCT id) FROM out") == [(1000, 1000)]


def test_values_become_columns_and_columns_rows(mill: Mill) -> None:
    mill.table("out", 'kind text, "1" numeric, two numeric')
    mill.run(
        over(
            {
                "type": "pivot",
                "groupBy": ["kind"],
                "on": "id",
                "values": [1, {"value": "2", "as": "two"}],
                "field": "amount",
                "fn": "sum",
            }
        )
    )
    assert mill.rows('SELECT * FROM (SELECT kind, "1", two FROM out) x ORDER BY kind') == [
        ("a", Decimal("1.10"), None),
        ("b", None, Decimal("2.25")),
        ("c", None, None),
        (None, None, None),
    ]
    mill.table("long", "id bigint, name text, value text")
    mill.run(over({"type": "unpivot", "fields": ["kind", "at"]}, table="long"), run_id="run_2")
    assert mill.rows("SELECT id, name, value FROM long WHERE id IN (1, 5) ORDER BY id, name") == [
        (1, "at", "2024-01-03"),
        (1, "kind", "a"),
        (5, "at", None),
        (5, "kind", "b"),
    ]


def test_the_copies_of_a_row_fail_singly_and_are_kept_with_the_row_as_it_was_read(mill: Mill) -> None:
    mill.table("long", "id bigint, name text, value text")
    nodes = over({"type": "unpivot", "fields": ["kind", "at"]}, table="long")
    rule = {"id": "there", "field": "value", "rule": "not_null"}
    check = {
        "id": "check",
        "kind": "validate",
        "input": "make",
        "rowLevel": [rule],
        "quarantine": {"table": "dlq.long"},
    }
    nodes[2:] = [check, target("tgt", "check", "long")]
    totals = mill.run(nodes)
    assert totals == RunTotals(rows_in=6, rows_out=10, failed=2, skipped=0)
    assert mill.flow("make", "check") == {"make": (6, 12, 0, 0), "check": (12, 10, 2, 0)}
    assert mill.rows("SELECT row_number, row ->> 'id' FROM dlq.long ORDER BY 1") == [(7, "4"), (10, "5")]


def test_columns_are_summarized(mill: Mill) -> None:
    mill.table(
        "out",
        "field text, count bigint, nulls bigint, distinct_ bigint, min text, max text, "
        "mean float, p50 float, p95 float",
    )
    mapping = {"distinct_": "distinct"}
    mill.run(over({"type": "summarize", "fields": ["amount", "kind"]}, mapping=mapping))
    found = mill.rows("SELECT field, count, nulls, distinct_, min, max, mean, p50 FROM out ORDER BY field")
    assert found == [
        ("amount", 4, 2, 4, "1.100000000", "5.000000000", pytest.approx(2.675), pytest.approx(2.3)),
        ("kind", 5, 1, 3, "a", "c", None, None),
    ]


def test_a_query_sees_all_rows(mill: Mill) -> None:
    mill.table("out", "kind text, n bigint, at date")
    query = "WITH k AS (SELECT kind, count(*) AS n, max(at) AS at FROM input GROUP BY kind) SELECT * FROM k WHERE n > 1"
    mill.run(over({"type": "sql", "query": query}))
    assert mill.rows("SELECT kind, n, at FROM out ORDER BY kind") == [
        ("a", 2, date(2024, 1, 3)),
        ("b", 2, date(2024, 1, 1)),
    ]


def test_several_gatherings_follow_each_other_in_one_node(mill: Mill) -> None:
    mill.table("out", "n bigint, kinds bigint")
    count = [{"fn": "count", "as": "n"}]
    ops = (
        {"type": "deduplicate", "keys": ["id"]},
        {"type": "aggregate", "groupBy": ["kind"], "aggregations": count},
        {"type": "filter", "expression": "n > 1"},
        {"type": "aggregate", "groupBy": ["n"], "aggregations": [{"fn": "count", "as": "kinds"}]},
    )
    mill.run(over(*ops))
    assert mill.rows("SELECT n, kinds FROM out") == [(2, 2)]
    assert mill.flow("make", "tgt") == {"make": (6, 1, 0, 2), "tgt": (1, 1, 0, 0)}


@pytest.mark.parametrize("options", [{"loadMode": "replace"}, {"loadMode": "upsert", "upsertKey": ["kind"]}])
def test_rows_that_were_gathered_may_be_held_back(mill: Mill, options: dict[str, Any]) -> None:
    mill.table("out", "kind text PRIMARY KEY, n bigint")
    mill.rows("INSERT INTO out VALUES ('a', 99), ('z', 99) RETURNING 1")
    count = {"type": "aggregate", "groupBy": ["kind"], "aggregations": [{"fn": "count", "as": "n"}]}
    mill.run(over({"type": "fill_null", "fields": ["kind"], "value": "none"}, count, **options))
    kept = [] if options["loadMode"] == "replace" else [("z", 99)]
    assert mill.rows("SELECT kind, n FROM out ORDER BY kind") == [("a", 2), ("b", 2), ("c", 1), ("none", 1), *kept]


def test_a_server_that_forgets_what_is_held_back_is_noticed(mill: Mill) -> None:
    mill.table("out", "kind text, n bigint")
    count = {"type": "aggregate", "groupBy": ["kind"], "aggregations": [{"fn": "count", "as": "n"}]}
    run = mill.execution(over(count, loadMode="replace"))
    run.begin()
    for stage in run.prepared.plan.stages:
        for partition in stage.partitions:
            run.partition(stage, partition.index)
    mill.rows("DELETE FROM _headrace.staging_ledger RETURNING 1")
    with pytest.raises(TargetError, match="PostgreSQL crashed meanwhile"):
        [run.publication(load, index) for load, index, _ in run.publications()]
    mill.run(over(count, loadMode="replace"), run_id="run_2", root="run_1")
    assert mill.rows("SELECT count(*), sum(n) FROM out") == [(4, 6)]
    run._exchange.finish()


def test_masked_values_stay_masked_after_a_shuffle(mill: Mill) -> None:
    mill.table("out", "id bigint, most text CHECK (most <> 'b')")
    ops = (
        {"type": "aggregate", "groupBy": ["id"], "aggregations": [{"field": "kind", "fn": "max", "as": "most"}]},
        {"type": "cast", "field": "most", "to": "integer"},
    )
    nodes = [
        source("orders.csv", FIELDS),
        transform("make", "src", *ops),
        target("tgt", "make", "out"),
        transform("hide", "src", {"type": "mask_pii", "field": "kind", "strategy": "redact"}),
        target("hidden", "hide", "masked"),
    ]
    mill.table("masked", "kind text")
    mill.run(nodes)
    assert {value for node, _, _, value, _ in mill.recorder.errors if node == "make"} == {"***"}


def test_a_staging_folder_that_cannot_be_used_is_named(mill: Mill) -> None:
    mill.table("out", "id bigint")
    run = mill.execution(over({"type": "deduplicate", "keys": ["id"]}))
    run.prepared.job.staging.write_text("a file is here")
    with pytest.raises(RunFailed, match=r"Rows between stages cannot be kept in their folder: File exists"):
        run.begin()
    run.prepared.job.staging.unlink()


def test_rows_that_fail_before_and_after_a_gathering_are_kept_as_their_stage_got_them(mill: Mill) -> None:
    mill.table("out", "kind text, n bigint")
    count = {"type": "aggregate", "groupBy": ["kind"], "aggregations": [{"fn": "count", "as": "n"}]}
    quarantine = {"quarantine": {"table": "dlq.orders"}}
    nodes = [
        source("orders.csv", FIELDS),
        {
            "id": "before",
            "kind": "validate",
            "input": "src",
            "rowLevel": [{"id": "named", "field": "kind", "rule": "not_empty"}],
            **quarantine,
        },
        transform("make", "before", count),
        {
            "id": "after",
            "kind": "validate",
            "input": "make",
            "rowLevel": [{"id": "several", "field": "n", "rule": "gt:1"}],
            **quarantine,
        },
        target("tgt", "after", "out"),
    ]
    mill.run(nodes)
    kept = "SELECT node_id, row ->> 'id', row ->> 'kind', row ->> 'n' FROM dlq.orders ORDER BY 1"
    assert mill.rows(kept) == [("after", None, "c", "1"), ("before", "4", None, None)]
    assert mill.rows("SELECT kind, n FROM out ORDER BY kind") == [("a", 2), ("b", 2)]
    assert mill.flow("before", "make", "after") == {
        "before": (6, 5, 1, 0),
        "make": (5, 3, 0, 0),
        "after": (3, 2, 1, 0),
    }
