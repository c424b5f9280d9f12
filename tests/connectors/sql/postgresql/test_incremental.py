"""Incremental reading: rows after (cursor, key), up to the current time less the lag, each row once."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.connectors.errors import SourceError
from tests.connectors.reading import run
from tests.connectors.sql.postgresql.shop import Shop

pytestmark = pytest.mark.postgres


def orders(shop: Shop, kind: str = "timestamptz") -> None:
    shop.make(
        f"CREATE TABLE t (id int PRIMARY KEY, at {kind})",
        # several rows of each moment
        f"INSERT INTO t SELECT i, (now() - interval '1 day' + i / 10 * interval '1 s')::{kind} "
        "FROM generate_series(1, 100) i",
    )


@pytest.mark.parametrize("batch_rows", [None, 1, 7])
@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "timestamptz(0)"])
def test_every_run_reads_what_is_new_and_nothing_twice(shop: Shop, kind: str, batch_rows: int | None) -> None:
    orders(shop, kind)
    source = shop.source(table="shop.t", cursor={"column": "at"})
    read, position = run(source, None, batch_rows=batch_rows)
    assert read == list(range(1, 101))
    assert run(source, position) == ([], position)
    # one with the same moment as the last that was read, one changed, and one of the future
    shop.make(
        "INSERT INTO t SELECT 101, max(at) FROM t",
        "UPDATE t SET at = now() - interval '1 s' WHERE id = 5",
        "INSERT INTO t VALUES (102, now() + interval '1 hour')",
    )
    read, position = run(source, position, batch_rows=batch_rows)
    assert read == [101, 5]
    assert run(source, position)[0] == []


def test_the_lag_leaves_out_what_may_still_change(shop: Shop) -> None:
    shop.make("CREATE TABLE t (id int PRIMARY KEY, at timestamptz)")
    shop.make("INSERT INTO t SELECT i, now() - i * interval '1 min' FROM generate_series(0, 9) i")
    for lag in ("PT4M30S", 270, "270"):
        assert run(shop.source(table="shop.t", cursor={"column": "at", "lag": lag}), None)[0] == [9, 8, 7, 6, 5]


@pytest.mark.parametrize(
    ("kind", "made", "lag", "expected"),
    [
        ("bigint", "i * 10", None, list(range(1, 11))),
        ("bigint", "i * 10", 25, list(range(1, 8))),
        ("numeric(10,3)", "i / 8.0", "0.25", list(range(1, 9))),
        ("uuid", "('00000000-0000-7000-8000-0000000000' || lpad(i::text, 2, '0'))::uuid", None, list(range(1, 11))),
        ("text", "'v' || lpad(i::text, 3, '0') || chr(92)", None, list(range(1, 11))),
        ("date", "date '2020-01-01' + i", "P1D", list(range(1, 11))),
    ],
)
def test_cursors_of_other_types(shop: Shop, kind: str, made: str, lag: Any, expected: list[int]) -> None:
    shop.make(f"CREATE TABLE t (id int PRIMARY KEY, v {kind} UNIQUE)")
    shop.make(f"INSERT INTO t SELECT i, {made} FROM generate_series(1, 10) i")
    source = shop.source(table="shop.t", cursor={"column": "v"} | ({"lag": lag} if lag is not None else {}))
    read, position = run(source, None, batch_rows=3)
    assert read == expected
    assert run(source, position)[0] == []


def test_a_first_run_begins_at_the_initial_value(shop: Shop) -> None:
    orders(shop)
    [(seventh,)] = shop.rows("SELECT at::text FROM t WHERE id = 70")
    source = shop.source(table="shop.t", cursor={"column": "at", "initial": seventh})
    read, position = run(source, None)
    assert read == list(range(70, 101))
    # it does not affect later runs
    assert run(shop.source(table="shop.t", cursor={"column": "at", "initial": "2000-01-01"}), position)[0] == []


def test_rows_without_a_cursor_are_reported_and_not_read(shop: Shop) -> None:
    orders(shop)
    shop.make("UPDATE t SET at = NULL WHERE id <= 3")
    source = shop.source(table="shop.t", cursor={"column": "at"})
    assert source.discover(max_partitions=1).notes == ("3 rows of shop.t have no at: they are not read",)
    assert run(source, None)[0] == list(range(4, 101))


def test_an_empty_table_has_no_partition(shop: Shop) -> None:
    shop.make("CREATE TABLE t (id int PRIMARY KEY)")
    assert run(shop.source(table="shop.t", cursor={"column": "id"}), None) == ([], None)


def test_a_view_and_a_query_need_a_key_that_reports_ties_apart(shop: Shop) -> None:
    orders(shop)
    shop.make("CREATE VIEW v AS SELECT * FROM t")
    with pytest.raises(SourceError, match=r"cursor\.key"):
        shop.source(table="shop.v", cursor={"column": "at"}).discover(max_partitions=1)
    for settings in (
        {"table": "shop.v", "cursor": {"column": "at", "key": ["id"]}},
        {"table": "shop.v", "key": ["id"], "cursor": {"column": "at"}},
        {"query": "SELECT * FROM shop.t", "cursor": {"column": "at", "key": ["id"]}},
    ):
        source = shop.source(**settings)
        read, position = run(source, None, batch_rows=9)
        assert read == list(range(1, 101))
        assert run(source, position)[0] == []
    with pytest.raises(SourceError, match="same key"):
        run(shop.source(table="shop.v", cursor={"column": "at", "key": []}), None, batch_rows=9)


def test_another_cursor_than_the_one_before_is_reported(shop: Shop) -> None:
    orders(shop)
    _, position = run(shop.source(table="shop.t", cursor={"column": "at"}), None)
    other = shop.source(table="shop.t", cursor={"column": "id"})
    other.begin_at({"default": position})
    with pytest.raises(SourceError, match="reset its cursor") as refused:
        other.discover(max_partitions=1)
    assert refused.value.code == "bad_position"


@pytest.mark.parametrize(("column", "lag"), [("id", "PT5M"), ("name", 5)])
def test_a_lag_that_does_not_fit_is_reported(shop: Shop, column: str, lag: Any) -> None:
    shop.make("CREATE TABLE t (id int PRIMARY KEY, name text)")
    with pytest.raises(SourceError, match=r"cursor\.lag"):
        shop.source(table="shop.t", cursor={"column": column, "lag": lag}).discover(max_partitions=1)
