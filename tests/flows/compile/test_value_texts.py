"""Text that an expression makes of values is what PostgreSQL writes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.flows.compile.scope import Scope
from tests.effort import examples

TYPES: dict[str, tuple[str, pl.DataType, st.SearchStrategy[Any]]] = {
    "time": ("time", pl.Time(), st.times()),
    "timestamp": ("timestamp", pl.Datetime("us"), st.datetimes()),
    "timestamptz": ("timestamptz", pl.Datetime("us", "UTC"), st.datetimes(timezones=st.just(UTC))),
    "date": ("date", pl.Date(), st.dates()),
    "numeric": ("numeric(12,3)", pl.Decimal(12, 3), st.decimals(-(10**8), 10**8, places=3)),
    "bigint": ("bigint", pl.Int64(), st.integers(-(2**63), 2**63 - 1)),
    "boolean": ("boolean", pl.Boolean(), st.booleans()),
}
EXPRESSIONS = ["CAST(v AS text)", "v::varchar", "CONCAT(v, '')", "v || ''", "CASE WHEN v IS NOT NULL THEN v::text END"]


def texts(expression: str, values: pl.Series) -> list[str | None]:
    frame = values.alias("v").to_frame()
    value, have = Scope("n", "p", frame.schema).expression(expression, "e")
    assert have == pl.String
    return frame.select(value.alias("v")).to_series().to_list()


@pytest.fixture(scope="module")
def database(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("SET timezone TO 'UTC'")
        yield connection


@pytest.mark.postgres
@pytest.mark.parametrize("name", TYPES)
@settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_text_of_a_value_is_what_postgresql_writes(
    database: psycopg.Connection[Any], name: str, data: st.DataObject
) -> None:
    sql_type, dtype, strategy = TYPES[name]
    values = data.draw(st.lists(strategy, min_size=1, max_size=20))
    query = f"SELECT v::text FROM unnest(%s::{sql_type}[]) WITH ORDINALITY AS u (v, n) ORDER BY n"
    expected = [row[0] for row in database.execute(query, [values]).fetchall()]
    for expression in EXPRESSIONS:
        assert texts(expression, pl.Series(values, dtype=dtype)) == expected, expression


NOON = pl.Series([time(12), time(12, 0, 0, 500_000), None])


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("COALESCE(v, 'none')", ["12:00:00", "12:00:00.5", "none"]),
        ("IFNULL(v, 'none')", ["12:00:00", "12:00:00.5", "none"]),
        ("CASE WHEN v IS NULL THEN '-' ELSE v END", ["12:00:00", "12:00:00.5", "-"]),
        ("CONCAT_WS('/', v, (v), 'x')", ["12:00:00/12:00:00/x", "12:00:00.5/12:00:00.5/x", "x"]),
        ("'at ' || COALESCE(v, v) || '!'", ["at 12:00:00!", "at 12:00:00.5!", None]),
        ("UPPER(CAST(v AS text))", ["12:00:00", "12:00:00.5", None]),
        ("TIME '10:00:00.25' || ''", ["10:00:00.25"]),
        ("CAST(TIMESTAMP '2024-01-02 03:04:05.5' AS text)", ["2024-01-02 03:04:05.5"]),
        ("CONCAT(1.50, -0.10, 2)", ["1.50-0.102"]),
    ],
)
def test_the_fraction_of_a_time_is_in_every_text(expression: str, expected: list[str | None]) -> None:
    assert texts(expression, NOON) == expected


def test_times_that_stay_values_are_not_changed() -> None:
    value, have = Scope("n", "p", pl.Schema({"v": pl.Time()})).expression("COALESCE(v, TIME '10:00:00.5')", "e")
    assert have == pl.Time
    assert NOON.alias("v").to_frame().select(value.alias("v")).to_series()[2] == time(10, 0, 0, 500_000)


def test_text_of_other_values_is_as_documented() -> None:
    assert texts("v || ''", pl.Series([1.0, 0.1, 1e-7, 1e20, float("inf")])) == ["1.0", "0.1", "1e-7", "1e+20", "inf"]
    assert texts("v || ''", pl.Series([date(5, 1, 2)])) == ["0005-01-02"]
    assert texts("v || ''", pl.Series([Decimal("1.50")], dtype=pl.Decimal(9, 2))) == ["1.50"]
    assert texts("v || ''", pl.Series([datetime(2024, 1, 2, tzinfo=UTC)])) == ["2024-01-02 00:00:00+00"]
