"""Incremental reading: rows after (cursor, key), up to the current time less the lag, each row once."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.snowflake.source import SnowflakeSource
from headrace.connectors.source import Position, Restart
from tests.connectors import reading
from tests.connectors.reading import batches
from tests.connectors.snowflake.canned import column, moments
from tests.connectors.snowflake.double import Double


def run(source: SnowflakeSource, position: Position | None, *, batch_rows: int | None = None) -> tuple[list[int], Any]:
    """A run of a source whose results are kept, by the name that Snowflake gives the key."""
    return reading.run(source, position, batch_rows=batch_rows, restart=Restart.EXACT, key="ID")


def orders(account: Double) -> None:
    account.control(chunkRows=30)
    account.make(
        "CREATE TABLE t (id INT PRIMARY KEY, moment TIMESTAMP_NTZ)",
        # several rows of each moment
        "INSERT INTO t SELECT seq4() + 1, DATEADD(second, FLOOR(seq4() / 10), DATEADD(day, -1, SYSDATE())) "
        "FROM TABLE(GENERATOR(ROWCOUNT => 100))",
    )


@pytest.mark.parametrize("batch_rows", [None, 7])
def test_every_run_reads_what_is_new_and_nothing_twice(account: Double, batch_rows: int | None) -> None:
    orders(account)
    source = account.source(table="t", cursor={"column": "moment", "key": ["id"]})
    read, position = run(source, None, batch_rows=batch_rows)
    assert read == list(range(1, 101))
    assert run(source, position) == ([], position)
    account.make(
        "INSERT INTO t SELECT 101, MAX(moment) FROM t",
        "UPDATE t SET moment = DATEADD(second, -1, SYSDATE()) WHERE id = 5",
        "INSERT INTO t SELECT 102, DATEADD(hour, 1, SYSDATE())",
    )
    read, position = run(source, position, batch_rows=batch_rows)
    assert read == [101, 5]
    assert run(source, position)[0] == []


def test_a_run_that_was_broken_off_goes_on_in_its_result_and_the_next_after_it(account: Double) -> None:
    orders(account)
    settings = {"table": "t", "cursor": {"column": "moment", "key": ["id"]}}
    source = account.source(**settings)
    found = source.discover(max_partitions=4)
    [partition] = found.partitions
    whole = batches(source, found, partition)
    for batch in whole:
        ids = [int(each) for each in batch.frame["ID"]]
        # a retry of the run
        rest = batches(account.source(**settings), found, partition, rows_done=batch.rows_done, position=batch.position)
        assert [int(each) for one in rest for each in one.frame["ID"]] == list(range(ids[-1] + 1, 101))
        # a new run, when the result is gone
        assert run(account.source(**settings), batch.position)[0] == list(range(ids[-1] + 1, 101))


def test_the_lag_leaves_out_what_may_still_change(account: Double) -> None:
    account.make("CREATE TABLE t (id INT, moment TIMESTAMP_NTZ)")
    account.make(
        "INSERT INTO t SELECT seq4(), DATEADD(minute, -seq4(), SYSDATE()) FROM TABLE(GENERATOR(ROWCOUNT => 10))"
    )
    for lag in ("PT4M30S", 270):
        source = account.source(table="t", cursor={"column": "moment", "key": ["id"], "lag": lag})
        assert run(source, None)[0] == [9, 8, 7, 6, 5]


@pytest.mark.parametrize(
    ("kind", "made", "lag", "expected"),
    [
        ("NUMBER(38,0)", "seq4() * 10", None, list(range(10))),
        ("NUMBER(38,0)", "seq4() * 10", 25, list(range(7))),
        ("NUMBER(20,3)", "seq4() / 8", "0.25", list(range(8))),
        ("VARCHAR", "'v\\\\' || seq4()", None, list(range(10))),
        ("DATE", "DATEADD(day, seq4(), '2020-01-01'::DATE)", "P1D", list(range(10))),
        ("TIMESTAMP_TZ", "DATEADD(day, seq4(), '2020-01-01'::TIMESTAMP_TZ)", None, list(range(10))),
    ],
)
def test_cursors_of_other_types(account: Double, kind: str, made: str, lag: Any, expected: list[int]) -> None:
    account.make(f"CREATE TABLE t (id INT, v {kind})")
    account.make(f"INSERT INTO t SELECT seq4(), {made} FROM TABLE(GENERATOR(ROWCOUNT => 10))")
    cursor = {"column": "V", "key": ["ID"]} | ({} if lag is None else {"lag": lag})
    source = account.source(table="t", cursor=cursor)
    read, position = run(source, None, batch_rows=3)
    assert read == expected
    assert run(source, position)[0] == []


def test_a_cursor_to_the_nanosecond_is_kept_to_it(account: Double) -> None:
    """The next run's condition has all nine digits, or rows of the same microsecond would be read twice or never."""
    stamps = column("AT", "TIMESTAMP_NTZ", moments((1704103200, 123456000), (1704103200, 123456789)), scale=9)
    numbers = column("ID", "FIXED", pa.array([1, 2], pa.int8()), precision=4, scale=0)
    table = pa.Table.from_arrays([numbers[2], stamps[2]], schema=pa.schema([numbers[1], stamps[1]]))
    now = column("AT", "TIMESTAMP_NTZ", moments((1704103300, 0)), scale=9)
    account.can("DATEADD", [now[0]], pa.Table.from_arrays([now[2]], schema=pa.schema([now[1]])))
    account.can("COUNT(*)", [numbers[0]], pa.Table.from_arrays([numbers[2]], schema=pa.schema([numbers[1]])))
    account.can("FROM canned", [numbers[0], stamps[0]], table)
    source = account.source(query="SELECT * FROM canned", cursor={"column": "at", "key": []})
    _, position = run(source, None)
    assert position["after"] == ["2024-01-01 10:00:00.123456789"]
    run(source, position)
    assert "> '2024-01-01 10:00:00.123456789'::TIMESTAMP_NTZ(9)" in account.info()["statements"][-1]


def test_the_first_run_begins_where_it_is_reported(account: Double) -> None:
    orders(account)
    source = account.source(table="t", cursor={"column": "id", "key": [], "initial": 90})
    assert run(source, None)[0] == list(range(90, 101))


def test_a_key_that_does_not_distinguish_rows_is_no_key(account: Double) -> None:
    """A primary key is not enforced by Snowflake."""
    account.make("CREATE TABLE t (id INT, moment DATE)", "INSERT INTO t VALUES (1, '2020-01-01'), (1, '2020-01-01')")
    with pytest.raises(SourceError, match="Several rows have the same key") as refused:
        run(account.source(table="t", cursor={"column": "moment", "key": ["id"]}), None)
    assert refused.value.code == "bad_key"


def test_a_position_of_another_cursor_is_refused(account: Double) -> None:
    orders(account)
    _, position = run(account.source(table="t", cursor={"column": "moment", "key": ["id"]}), None)
    with pytest.raises(SourceError, match="reset its cursor") as refused:
        run(account.source(table="t", cursor={"column": "id", "key": []}), position)
    assert refused.value.code == "bad_position"
