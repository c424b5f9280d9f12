"""incremental_watermark: rows above the watermark are loaded once, after any outcome of earlier runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import psycopg
import pytest

from headrace.connectors.errors import TargetError
from headrace.connectors.target import Published, Resume
from tests.connectors.postgresql.modes.full_load import Load, Table, load, rows, spec
from tests.databases import as_superuser

pytestmark = pytest.mark.postgres

MODE = "incremental_watermark"


@pytest.fixture
def sql(database_url: str) -> Iterator[Table]:
    table = Table(database_url)
    yield table
    table.connection.close()


def by(column: str, url: str, run_id: str = "run_1", columns: tuple[str, ...] = ("w", "v"), **rest: Any) -> Any:
    return spec(url, columns, run_id, watermark_column=column, **rest)


def mark(sql: Table) -> list[tuple[Any, ...]]:
    return sql("SELECT value, run_id FROM _headrace.watermarks")


def test_only_rows_above_the_mark_come_in_and_the_mark_follows_them(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (w int, v text)")
    load(MODE, by("w", database_url), rows(w=[3, 1], v=["a", "b"]))
    assert mark(sql) == [("3", "run_1")]
    begun = Load(MODE, by("w", database_url, "run_2")).begin()
    done = begun.write(rows(w=[1, 2, 3, 4, 10], v=["x"] * 5))
    assert (done.rows_done, done.rows_skipped) == (5, 3)  # before anything is staged
    assert begun.publish() == Resume(rows_loaded=2)
    assert sql("SELECT w FROM t ORDER BY w") == [(1,), (3,), (4,), (10,)]
    assert mark(sql) == [("10", "run_2")]
    assert sql("SELECT pipeline_id, target_node, target_table, watermark_column FROM _headrace.watermarks") == [
        ("pipe_1", "tgt", "public.t", "w")
    ]
    load(MODE, by("w", database_url, "run_3"), rows(w=[9], v=["x"]))
    assert mark(sql) == [("10", "run_2")]


def test_without_a_mark_it_begins_after_what_the_table_has(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (w int, v text); INSERT INTO t VALUES (5, 'there')")
    load(MODE, by("w", database_url), rows(w=[5, 6], v=["a", "b"]))
    assert sql("SELECT w, v FROM t ORDER BY w") == [(5, "there"), (6, "b")]


def test_a_row_without_a_value_is_refused_with_a_reason(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (w date, v text)")
    done = Load(MODE, by("w", database_url)).begin()
    assert done.write(rows(w=[None, date(2024, 1, 1)], v=["a", "b"])).rows_failed == 1
    assert done.cells == [(1, "w", "'w' must have a value: it is the watermark column")]
    assert done.publish() == Resume(rows_loaded=1)


@pytest.mark.parametrize(
    ("kind", "low", "high", "stored"),
    [
        ("smallint", 9, 10, "9"),
        ("bigint", -(2**62), 2**62, str(-(2**62))),
        ("numeric(12,2)", Decimal("9.50"), Decimal("10.25"), "9.50"),
        ("double precision", 9.1, 10.0, "9.1"),
        ("text", "B", "a", "B"),  # by code points, not as the database's collation has it
        ("varchar(5)", "10", "9", "10"),
        ("date", date(2023, 12, 31), date(2024, 1, 1), "2023-12-31"),
        ("timestamp", datetime(2024, 1, 1, 9), datetime(2024, 1, 1, 10, 0, 0, 1), "2024-01-01 09:00:00"),
        (
            "timestamptz",
            datetime(2024, 1, 1, 9, tzinfo=UTC),
            datetime(2024, 1, 1, 10, tzinfo=UTC),
            "2024-01-01 09:00:00+00",
        ),
    ],
)
def test_values_are_compared_as_what_they_are(
    database_url: str, sql: Table, kind: str, low: object, high: object, stored: str
) -> None:
    sql(f"CREATE TABLE t (w {kind}, v text)")
    load(MODE, by("w", database_url), rows(w=[low], v=["a"]))
    assert mark(sql) == [(stored, "run_1")]
    as_superuser(database_url, f"ALTER DATABASE {sql.connection.info.dbname} SET timezone = 'Asia/Tokyo'")
    begun = Load(MODE, by("w", database_url, "run_2")).begin()
    assert begun.write(rows(w=[low, high], v=["a", "b"])).rows_skipped == 1
    begun.publish()
    assert sql("SELECT v FROM t ORDER BY v") == [("a",), ("b",)]


def test_a_new_run_instead_of_a_retry_is_exact_and_so_is_the_retry_after_it(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (w int, v text)")
    failed = Load(MODE, by("w", database_url)).begin()
    failed.write(rows(w=[1, 2], v=["a", "b"]))
    load(MODE, by("w", database_url, "run_2"), rows(w=[1, 2, 3], v=["a", "b", "c"]))
    retried = Load(MODE, by("w", database_url, "run_3", root="run_1")).begin()
    assert retried.write().rows_done == 2
    assert retried.publish() == Resume(rows_skipped=2)
    assert sql("SELECT w FROM t ORDER BY w") == [(1,), (2,), (3,)]
    assert mark(sql) == [("3", "run_2")]


def test_a_failing_publication_takes_the_mark_back(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (w int, v text)")
    begun = Load(MODE, by("w", database_url)).begin()
    begun.write(rows(w=[1], v=["a"]))

    def fail(published: Published) -> Resume:
        assert published.loaded == 1
        raise ValueError("the catalog is away")

    with pytest.raises(ValueError, match="away"):
        begun.mode.publish(0, 0, fail)
    assert (sql("SELECT count(*) FROM t"), mark(sql)) == ([(0,)], [(None, "run_1")])
    assert begun.publish() == Resume(rows_loaded=1)
    assert mark(sql) == [("1", "run_1")]


def test_the_mark_does_not_pass_rows_the_table_refuses_at_the_end(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (w int PRIMARY KEY, v text UNIQUE)")
    begun = Load(MODE, by("w", database_url)).begin()
    begun.write(rows(w=[1, 2, 3, 4], v=["a", "b", "b", "a"]))
    assert begun.publish() == Resume(rows_loaded=2, rows_failed=2)
    assert mark(sql) == [("2", "run_1")]


def test_failed_rows_come_in_later_below_the_mark(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (w int PRIMARY KEY, v text UNIQUE)")
    load(MODE, by("w", database_url), rows(w=[1, 5], v=["a", "e"]))
    replay = Load(MODE, by("w", database_url, "run_2", origin_run_id="run_1")).begin()
    assert replay.write(rows(first=3, w=[3, 5, 6], v=["c", "x", "f"])).rows_skipped == 0
    assert replay.publish() == Resume(rows_loaded=2, rows_failed=1)
    assert sql("SELECT w FROM t ORDER BY w") == [(1,), (3,), (5,), (6,)]
    assert mark(sql) == [("6", "run_2")]
    assert sql("SELECT row_number FROM _headrace.replayed ORDER BY 1") == [(3,), (5,)]


def test_values_without_an_end_do_not_become_the_mark(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (w timestamp, v text); INSERT INTO t VALUES ('infinity', 'x'), ('2024-01-01', 'y')")
    load(MODE, by("w", database_url), rows(w=[datetime(2023, 1, 1), datetime(2025, 1, 1)], v=["a", "b"]))
    assert mark(sql) == [("2025-01-01 00:00:00", "run_1")]


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (None, "none is named"),
        ("z", "'z' is not a column that the table and the data have"),
        ("b", "type boolean, which cannot be a watermark"),
    ],
)
def test_a_column_that_cannot_order_rows_is_reported(database_url: str, sql: Table, column: Any, says: str) -> None:
    sql("CREATE TABLE t (w int, v text, b boolean)")
    with pytest.raises(TargetError, match=says):
        Load(MODE, by(column, database_url, columns=("w", "v", "b"))).begin()


def test_a_batch_of_another_type_is_evaluated_by_the_database(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (w numeric, v text); INSERT INTO t VALUES (2, 'there')")
    begun = Load(MODE, by("w", database_url)).begin()
    frame = rows(w=[1, 3], v=["a", "b"])
    begun.write(frame.with_columns(pl.col("w").cast(pl.Int64)))
    assert begun.publish() == Resume(rows_loaded=1, rows_skipped=1)


def test_rows_wait_for_whoever_moves_the_mark(database_url: str, sql: Table) -> None:
    """Two loads at once, which the lock on the table normally prevents."""
    sql("CREATE TABLE t (w int, v text)")
    one, two = (Load(MODE, by("w", database_url, run)).begin() for run in ("run_1", "run_2"))
    for each in (one, two):
        each.write(rows(w=[1, 2], v=["a", "b"]))
    done = [one.publish(), two.publish()]
    assert done == [Resume(rows_loaded=2), Resume(rows_skipped=2)]
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (2,)
