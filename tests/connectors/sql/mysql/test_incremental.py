"""Incremental reading: rows after (cursor, key), up to the current time less the lag, each row once."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.connectors.errors import SourceError
from tests.connectors.reading import run
from tests.connectors.sql.mysql.market import Market

ZONE = "SET time_zone = '+05:30'"
"""The server's own, in which people write datetimes there."""


def orders(market: Market, kind: str = "timestamp") -> None:
    market.make(
        ZONE,
        f"CREATE TABLE t (id int PRIMARY KEY, at {kind} NULL)",
        # several rows of each moment
        "INSERT INTO t SELECT seq, NOW() - INTERVAL 1 DAY + INTERVAL seq DIV 10 SECOND FROM seq_1_to_100",
    )


@pytest.mark.parametrize("batch_rows", [None, 7])
@pytest.mark.parametrize("kind", ["timestamp", "timestamp(6)", "datetime", "datetime(6)"])
def test_every_run_reads_what_is_new_and_nothing_twice(market: Market, kind: str, batch_rows: int | None) -> None:
    orders(market, kind)
    source = market.source(table="t", cursor={"column": "at"})
    read, position = run(source, None, batch_rows=batch_rows)
    assert read == list(range(1, 101))
    assert run(source, position) == ([], position)
    # one with the same moment as the last that was read, one changed, and one of the future
    market.make(
        ZONE,
        "INSERT INTO t SELECT 101, MAX(at) FROM t",
        "UPDATE t SET at = NOW() - INTERVAL 1 SECOND WHERE id = 5",
        "INSERT INTO t VALUES (102, NOW() + INTERVAL 1 HOUR)",
    )
    read, position = run(source, position, batch_rows=batch_rows)
    assert read == [101, 5]
    assert run(source, position)[0] == []


def test_the_lag_leaves_out_what_may_still_change(market: Market) -> None:
    market.make(
        "CREATE TABLE t (id int PRIMARY KEY, at timestamp(6))",
        "INSERT INTO t SELECT seq, NOW() - INTERVAL seq MINUTE FROM seq_0_to_9",
    )
    for lag in ("PT4M30S", 270, "270"):
        assert run(market.source(table="t", cursor={"column": "at", "lag": lag}), None)[0] == [9, 8, 7, 6, 5]


@pytest.mark.parametrize(
    ("kind", "made", "lag", "expected"),
    [
        ("bigint", "seq * 10", None, list(range(1, 11))),
        ("bigint unsigned", "18446744073709551515 + seq * 10", 25, list(range(1, 8))),
        ("decimal(10,3)", "seq / 8.0", "0.25", list(range(1, 9))),
        ("varchar(20)", "CONCAT('v', LPAD(seq, 3, '0'), '\\\\')", None, list(range(1, 11))),
        ("binary(4)", "UNHEX(LPAD(HEX(seq), 8, '0'))", None, list(range(1, 11))),
        ("date", "DATE '2020-01-01' + INTERVAL seq DAY", "P1D", list(range(1, 11))),
    ],
)
def test_cursors_of_other_types(market: Market, kind: str, made: str, lag: Any, expected: list[int]) -> None:
    market.make(f"CREATE TABLE t (id int PRIMARY KEY, v {kind} UNIQUE)")
    market.make(f"INSERT INTO t SELECT seq, {made} FROM seq_1_to_10")
    source = market.source(table="t", cursor={"column": "v"} | ({"lag": lag} if lag is not None else {}))
    read, position = run(source, None, batch_rows=3)
    assert read == expected
    assert run(source, position)[0] == []


def test_a_first_run_begins_at_the_initial_value_in_utc(market: Market) -> None:
    orders(market)
    [(seventh,)] = market.rows("SELECT at FROM t WHERE id = 70")
    for written in (seventh, seventh.replace(" ", "T") + "Z", seventh + "+00:00"):
        source = market.source(table="t", cursor={"column": "at", "initial": written})
        assert run(source, None)[0] == list(range(70, 101))
    with pytest.raises(SourceError, match="not a value of id"):
        run(market.source(table="t", cursor={"column": "id", "initial": "1 OR 1"}), None)


def test_rows_without_a_cursor_are_reported_and_not_read(market: Market) -> None:
    orders(market)
    market.make("UPDATE t SET at = NULL WHERE id <= 3")
    source = market.source(table="t", cursor={"column": "at"})
    assert source.discover(max_partitions=1).notes == ("3 rows of shop.t have no at: they are not read",)
    assert run(source, None)[0] == list(range(4, 101))
    market.make("CREATE TABLE e (id int PRIMARY KEY)")
    assert run(market.source(table="e", cursor={"column": "id"}), None) == ([], None)
