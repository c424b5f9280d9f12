"""Results of the op `sql`: exact values, a stable order, limits, and interruption when the run stops."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from datetime import time as clock
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from headrace.flows.query import QUERY_LIMITS, QueryFailed, QueryLimits, QueryStopped, result_columns, run
from headrace.flows.query.result_types import input_columns
from headrace.ir.sql import Refused
from headrace.ir.sql.queries.query import query

MIB = 1024 * 1024

ROWS = pl.DataFrame(
    {
        "i": pl.Series([2**63 - 1, 2**63 - 1, None, -1], dtype=pl.Int64),
        "u": pl.Series([2**64 - 1, 0, None, 7], dtype=pl.UInt64),
        "s": pl.Series([1, 2, None, 4], dtype=pl.Int16),
        "p": pl.Series([Decimal("0.1"), Decimal("0.2"), None, Decimal("-0.3")], dtype=pl.Decimal(38, 9)),
        "f": [float("nan"), 0.1, None, float("inf")],
        "t": ["x", "é'\"\\", None, ""],
        "b": [True, False, None, True],
        "d": [date(1, 1, 1), date(9999, 12, 31), None, date(2024, 2, 29)],
        "c": [clock(0, 0), clock(23, 59, 59, 999_999), None, clock(1, 2, 3)],
        "ts": [datetime(2024, 1, 1, 1, 2, 3, 456_789), datetime(1, 1, 1), None, datetime(9999, 12, 31, 23, 59)],
        "l": [["a", None], [], None, ["b"]],
        "by": [b"\x00\xff", b"", None, b"x"],
    }
).with_columns(tz=pl.col("ts").dt.replace_time_zone("UTC"), n=pl.lit(None, pl.Int32))


def given(text: str, frame: pl.DataFrame = ROWS) -> pl.DataFrame:
    evaluated = query(text)
    made, sql = result_columns(evaluated, frame.schema)
    result = run(evaluated, sql, frame.lazy().select(*input_columns(evaluated, frame.schema)), made).collect()
    assert result.schema == pl.Schema(made)
    return result


@contextmanager
def means(**given: Any) -> Iterator[None]:
    token = QUERY_LIMITS.set(QueryLimits(**given))
    try:
        yield
    finally:
        QUERY_LIMITS.reset(token)


def test_every_type_comes_back_as_it_went_in() -> None:
    found = given("SELECT * FROM input")
    assert_frame_equal(found, ROWS, check_row_order=False)


def test_sums_are_exact() -> None:
    found = given("SELECT sum(i) AS i, sum(u) AS u, sum(p) AS p, count(*) AS n FROM input")
    assert found.rows() == [(Decimal(2 * (2**63 - 1) - 1), Decimal(2**64 + 6), Decimal("0E-9"), 4)]
    assert found.schema == {"i": pl.Decimal(38, 0), "u": pl.Decimal(38, 0), "p": pl.Decimal(38, 9), "n": pl.Int64}


def test_a_number_beyond_38_digits_is_reported_and_not_rounded() -> None:
    huge = "CAST(10000000000000000000 AS INT128)"
    assert given(f"SELECT {huge} * 1000000000000000000 AS v FROM input").height == 4
    with pytest.raises(QueryFailed, match=r"out of range|Could not cast"):
        given(f"SELECT {huge} * {huge} AS v FROM input")


def test_what_has_no_column_here_comes_as_text_or_is_refused() -> None:
    found = given(
        "SELECT CAST('5E4B7F1E-0000-0000-0000-000000000000' AS UUID) AS u, CAST('{\"a\":1}' AS JSON) AS j FROM input"
    )
    assert found.row(0) == ("5e4b7f1e-0000-0000-0000-000000000000", '{"a":1}')
    for text in ("SELECT INTERVAL '1 day' AS v FROM input", "SELECT (1, 2) AS v FROM input"):
        with pytest.raises(Refused, match="which is not a column type"):
            result_columns(query(text), ROWS.schema)


def test_infinite_dates_are_reported() -> None:
    for kind in ("DATE", "TIMESTAMP", "TIMESTAMPTZ"):
        for text in ("infinity", "-infinity"):
            with pytest.raises(QueryFailed, match="infinite"):
                given(f"SELECT CAST('{text}' AS {kind}) AS v FROM input")
            for value in (f"[NULL, CAST('{text}' AS {kind})]", f"[[], [CAST('{text}' AS {kind})]]"):
                with pytest.raises(QueryFailed, match="'v' is infinite"):
                    given(f"SELECT {value} AS v FROM input")
            with pytest.raises(QueryFailed, match="'v' is infinite"):
                given(f"SELECT list(CAST('{text}' AS {kind})) AS v FROM input")


def test_times_finer_than_the_engine_has_are_reported() -> None:
    frame = pl.DataFrame({"c": pl.Series([1], dtype=pl.Int64).cast(pl.Time)})
    exact = frame.select(pl.col("c").cast(pl.Int64).mul(1_000).cast(pl.Time).implode().implode())
    assert_frame_equal(given("SELECT c FROM input", exact), exact)
    for nested in (pl.col("c"), pl.col("c").implode(), pl.col("c").implode().implode()):
        with pytest.raises(QueryFailed, match="microsecond"):
            given("SELECT c FROM input", frame.select(nested))


def test_instants_are_the_same_in_any_zone_and_counted_in_utc() -> None:
    frame = pl.DataFrame({"at": [datetime(2024, 6, 30, 23, 30, tzinfo=UTC)]}).with_columns(
        berlin=pl.col("at").dt.convert_time_zone("Europe/Berlin")
    )
    found = given("SELECT date_trunc('month', at) AS m, at = berlin AS same, hour(berlin) AS h FROM input", frame)
    assert found.rows() == [(datetime(2024, 6, 1, tzinfo=UTC), True, 23)]


def test_without_order_by_rows_are_ordered_by_their_columns() -> None:
    frame = pl.DataFrame({"a": [2, None, 1, 2], "b": ["x", "y", None, "a"]})
    assert given("SELECT a, b FROM input", frame).rows() == [(1, None), (2, "a"), (2, "x"), (None, "y")]


def test_with_order_by_equal_rows_are_ordered_by_all_columns() -> None:
    frame = pl.DataFrame({"a": [1] * 1_000, "b": [*range(500, 1_000), *range(500)]})
    assert given("SELECT b, a FROM input ORDER BY a", frame)["b"].to_list() == [*range(1_000)]
    assert given("SELECT b, a FROM input ORDER BY a LIMIT 3", frame)["b"].to_list() == [0, 1, 2]
    huge = "SELECT sum(b) AS s, b FROM input GROUP BY b ORDER BY b DESC"
    assert given(huge, frame)["b"].to_list() == [*range(999, -1, -1)]
    assert given("SELECT a FROM input UNION ALL SELECT b FROM input ORDER BY a DESC LIMIT 2", frame)["a"].to_list() == [
        999,
        998,
    ]


def test_nulls_come_last_unless_the_query_says_otherwise() -> None:
    frame = pl.DataFrame({"a": [2, None, 1]})
    assert given("SELECT a FROM input ORDER BY a DESC", frame)["a"].to_list() == [2, 1, None]
    assert given("SELECT a FROM input ORDER BY a NULLS FIRST", frame)["a"].to_list() == [None, 1, 2]
    assert given("SELECT a FROM input ORDER BY a DESC NULLS FIRST", frame)["a"].to_list() == [None, 2, 1]


def test_a_query_gives_the_same_each_time() -> None:
    frame = pl.DataFrame(
        {"k": [n % 7 for n in range(200_000)], "v": [f"v{n * 7_919 % 200_000}" for n in range(200_000)]}
    )
    texts = [
        "SELECT k, first(v) AS f, string_agg(v, ',') AS s FROM input GROUP BY k",
        "SELECT v, row_number() OVER () AS n FROM input",
        "SELECT v FROM input LIMIT 5",
        "SELECT DISTINCT ON (k) k, v FROM input",
        "SELECT k, arg_max(v, k) AS v FROM input GROUP BY k",
    ]
    for text in texts:
        assert query(text).order_sensitive
        first = given(text, frame)
        for _ in range(2):
            assert_frame_equal(given(text, frame), first)


def test_names_may_hold_anything_but_differ_in_more_than_capitals() -> None:
    frame = pl.DataFrame({'a"b': [1], "select": [2], "größe;--": [3], "read_csv": [4]})
    found = given('SELECT "a""b" + "select" AS "x y", "größe;--", read_csv FROM input', frame)
    assert found.rows(named=True) == [{"x y": 3, "größe;--": 3, "read_csv": 4}]
    with pytest.raises(Refused, match="the same name"):
        result_columns(query("SELECT a FROM input"), {"a": pl.Int64(), "A": pl.Int64()})
    assert result_columns(query("SELECT b FROM input"), {"a": pl.Int64(), "A": pl.Int64(), "b": pl.Int8()})[0]


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("SELECT amuont FROM input", "unknown_column", "amuont"),
        ("SELECT x.amuont FROM input AS x", "unknown_column", "amuont"),
        ("SELECT upper(s) FROM input", "invalid_query", "upper"),
        ("SELECT a.s FROM input", "invalid_query", "a"),
        ("SELECT s, s FROM input", "invalid_query", "Two columns"),
        ("SELECT s AS __s FROM input", "invalid_column", "__s"),
        ("SELECT s FROM input GROUP BY b", "invalid_query", "GROUP BY"),
    ],
)
def test_what_is_wrong_is_reported_without_running_it(text: str, code: str, says: str) -> None:
    with pytest.raises(Refused) as refused:
        result_columns(query(text), ROWS.schema)
    assert refused.value.code == code
    assert says in refused.value.message


MANY = 1_500_000
LARGER = [
    "SELECT t, a FROM input ORDER BY t DESC",
    "SELECT a, t, row_number() OVER (PARTITION BY a % 10 ORDER BY t) AS n FROM input",
    "SELECT i.a, j.t FROM input AS i JOIN input AS j ON i.t = j.t",
]


@pytest.fixture(scope="module")
def many() -> pl.DataFrame:
    numbers = pl.select(a=pl.int_range(MANY).shuffle(1))
    return numbers.with_columns(t=pl.format("a text that is long enough to need some memory {}", "a"))


def rows_of(text: str, frame: pl.DataFrame) -> pl.LazyFrame:
    evaluated = query(text)
    made, sql = result_columns(evaluated, frame.schema)
    return run(evaluated, sql, frame.lazy().select(*input_columns(evaluated, frame.schema)), made)


@pytest.mark.parametrize("text", LARGER, ids=["sort", "window", "join with itself"])
@pytest.mark.first_variant
def test_what_does_not_fit_into_memory_goes_to_a_folder_that_is_gone_afterwards(
    text: str, many: pl.DataFrame, tmp_path: Path
) -> None:
    with means(memory=(200 if "JOIN" in text else 64) * MIB, threads=2, folder=tmp_path):
        rows = rows_of(text, many)
    assert rows.select(pl.len(), pl.col("a").sum()).collect().row(0) == (MANY, MANY * (MANY - 1) // 2)
    del rows
    assert [*tmp_path.iterdir()] == []


def test_without_room_it_does_not_work_and_says_so(
    many: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.flows.query.sandbox._ROOM_SHARE", 0)
    with means(memory=64 * MIB, threads=2, folder=tmp_path), pytest.raises(QueryFailed, match=r"0\.1 GB of memory"):
        rows_of(LARGER[0], many).collect()
    assert [*tmp_path.iterdir()] == []


ENDLESS = "SELECT count(*) AS n FROM input i, input j, input k, input l WHERE concat(i.a, j.a, k.a, l.a) = 'x'"


def test_a_query_ends_when_the_run_stops() -> None:
    frame = pl.DataFrame({"a": range(5_000)})
    stopped = threading.Event()
    threading.Timer(1, stopped.set).start()
    begun = time.monotonic()
    with means(stopped=stopped), pytest.raises(QueryStopped):
        rows_of(ENDLESS, frame).collect()
    assert 1 <= time.monotonic() - begun < 30


def test_what_comes_out_may_be_cut_and_filtered_like_any_frame() -> None:
    frame = pl.DataFrame({"a": range(100_000)})
    made = rows_of("SELECT a, a % 10 AS b FROM input ORDER BY a", frame)
    assert made.filter(pl.col("b") == 3).select("a").collect()["a"].to_list() == [*range(3, 100_000, 10)]
    assert made.select("b").head(4).collect()["b"].to_list() == [0, 1, 2, 3]
    assert made.slice(70_000, 2).collect()["a"].to_list() == [70_000, 70_001]


def test_nothing_is_left_open(many: pl.DataFrame, tmp_path: Path) -> None:
    before = {thread.name for thread in threading.enumerate()}
    with means(folder=tmp_path):
        assert rows_of("SELECT a FROM input ORDER BY a", many.head(10)).head(3).collect()["a"].is_sorted()
    assert {thread.name for thread in threading.enumerate()} <= before
    assert [*tmp_path.iterdir()] == []


def test_who_has_no_query_loads_neither_the_engine_nor_its_parser() -> None:
    code = "import sys, headrace.flows.compile; print([name for name in ('duckdb', 'sqlglot') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
