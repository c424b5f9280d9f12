"""Unneeded columns and rows are not read, and unreadable rows are reported nevertheless."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from headrace.connectors.source import Bound, Wanted
from tests.connectors.sql.postgresql.shop import Shop

pytestmark = pytest.mark.postgres


def read(shop: Shop, wanted: Wanted) -> tuple[list[int], list[tuple[Any, ...]], list[str]]:
    source = shop.source(table="shop.t")
    found = source.discover(max_partitions=1)
    taken = list(source.read(found.partitions[0], found.schema, wanted=wanted))
    rejects = pl.concat([batch.rejects for batch in taken]).rows() if taken else []
    columns = list(taken[0].frame.columns) if taken else []
    return [number for batch in taken for number in batch.frame["id"]], rejects, columns


@pytest.fixture
def table(shop: Shop) -> Shop:
    shop.make(
        "CREATE TABLE t (id int PRIMARY KEY, city text, at timestamptz, day date, big bigint)",
        "INSERT INTO t SELECT i, 'c' || i % 4, '2024-01-01 00:00:00+00'::timestamptz + i * interval '1 h', "
        "date '2024-01-01' + i, i FROM generate_series(1, 50) i",
    )
    return shop


ALL = frozenset(("id", "city", "at", "day", "big"))


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        (Bound("id", ">", 45), [46, 47, 48, 49, 50]),
        (Bound("big", "<=", Decimal("2.5")), [1, 2]),
        (Bound("city", "=", "c1"), [1, 5, 9, 13, 17, 21, 25, 29, 33, 37, 41, 45, 49]),
        (Bound("at", "<", datetime(2024, 1, 1, 3, tzinfo=UTC)), [1, 2]),
        (Bound("day", ">=", date(2024, 2, 19)), [49, 50]),
        (Bound("city", ">", "c2"), list(range(1, 51))),  # the database's order may be another
    ],
)
def test_simple_comparisons_are_made_by_the_server(table: Shop, bound: Bound, expected: list[int]) -> None:
    assert read(table, Wanted(ALL, (bound,)))[0] == expected


def test_only_the_columns_that_are_wanted_are_read(table: Shop) -> None:
    table.make("REVOKE SELECT ON t FROM reader", "GRANT SELECT (id, city) ON t TO reader")
    ids, _, columns = read(table, Wanted(frozenset(("id", "city"))))
    assert (len(ids), columns) == (50, ["id", "city", "__row"])


def test_rows_are_counted_where_no_column_is_wanted(shop: Shop) -> None:
    shop.make("CREATE TABLE t AS SELECT i AS id, ''::text AS x FROM generate_series(1, 50) i")
    source = shop.source(table="shop.t")
    found = source.discover(max_partitions=1)
    [batch] = source.read(found.partitions[0], found.schema, wanted=Wanted(frozenset()))
    assert (batch.rows, batch.frame.columns, batch.frame.height) == (50, ["__row"], 50)


def test_a_row_that_cannot_be_read_is_reported_though_it_is_not_wanted(table: Shop) -> None:
    table.make("UPDATE t SET at = 'infinity' WHERE id = 3", "UPDATE t SET day = '10000-01-01' WHERE id = 4")
    ids, rejects, _ = read(table, Wanted(ALL, (Bound("id", ">", 48),)))
    assert ids == [49, 50]
    assert [(column, value) for _, column, value, *_ in rejects] == [("at", "infinity"), ("day", "10000-01-01")]


@pytest.mark.parametrize("number", ["1e-30", "1e30", "'NaN'", "1e-10"])
def test_a_number_that_cannot_be_read_is_reported_though_its_row_is_not_wanted(table: Shop, number: str) -> None:
    table.make("ALTER TABLE t ADD n numeric", f"UPDATE t SET n = {number} WHERE id = 3")
    ids, rejects, _ = read(table, Wanted(ALL | {"n"}, (Bound("id", ">", 48),)))
    assert ids == [49, 50]
    assert [column for _, column, *_ in rejects] == ["n"]


def test_a_text_in_a_bound_is_a_text(table: Shop) -> None:
    for text in ("c1' OR true --", "\\", "it's", "c1\\' OR true --"):
        table.make(f"UPDATE t SET city = $x${text}$x$ WHERE id = 7")
        assert read(table, Wanted(ALL, (Bound("city", "=", text),)))[0] == [7]
