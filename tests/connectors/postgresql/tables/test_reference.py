"""A table is read whole into memory in the types of the IR, or refused with the reason."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.tables.describe import describe_table
from headrace.connectors.postgresql.tables.reference import read_reference
from tests.effort import examples

pytestmark = pytest.mark.postgres


def read(database_url: str, *columns: str, keys: int = 1, **limits: int) -> pl.DataFrame:
    return read_reference(database_url, describe_table(database_url, "public.ds_things"), columns, keys, **limits)


def test_every_type_comes_as_batches_carry_it(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("""
            CREATE TABLE public.ds_things (i int2, b int8, n numeric(12, 2), f float8, t text, v varchar(9), o bool,
              d date, c time, s timestamp, z timestamptz, u uuid, j jsonb);
            INSERT INTO public.ds_things VALUES (1, 9007199254740993, 1.10, 0.1, 'ü', '', true, '2024-02-29', '08:30',
              '2024-02-29 08:30:00.123456', '2024-02-29 08:30+02', '123E4567-e89b-12d3-a456-426614174000', '{"a": 1}');
            INSERT INTO public.ds_things (i) VALUES (2);
        """)
    names = [column.name for column in describe_table(database_url, "public.ds_things").columns]
    found = read(database_url, *names).sort("i")
    fields = [column.field for column in describe_table(database_url, "public.ds_things").columns]
    assert found.schema == {field.name: polars_dtype(field) for field in fields}
    assert found.row(0) == (
        1,
        9007199254740993,
        Decimal("1.10"),
        0.1,
        "ü",
        "",
        True,
        date(2024, 2, 29),
        time(8, 30),
        datetime(2024, 2, 29, 8, 30, 0, 123456),
        datetime(2024, 2, 29, 6, 30, tzinfo=UTC),
        "123e4567-e89b-12d3-a456-426614174000",
        '{"a": 1}',
    )
    assert found.row(1) == (2, *[None] * 12)


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(texts, st.none() | texts), max_size=8))
def test_texts_come_as_they_are(postgres_url: str, rows: list[tuple[str, str | None]]) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("DROP TABLE IF EXISTS public.ds_things")
        connection.execute("CREATE TABLE public.ds_things (k text, v text)")
        connection.cursor().executemany("INSERT INTO public.ds_things VALUES (%s, %s)", rows)
    found = read(postgres_url, "k", "v")
    assert sorted(found.rows(), key=repr) == sorted(rows, key=repr)


def test_rows_with_a_null_key_are_left_in_the_database(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE public.ds_things (a int, b int, c int)")
        connection.execute("INSERT INTO public.ds_things VALUES (1, NULL, 1), (NULL, 2, 2), (3, 3, NULL), (4, 4, 4)")
    assert read(database_url, "a", "b", "c", keys=2).sort("a").rows() == [(3, 3, None), (4, 4, 4)]
    assert read(database_url, "c").to_series().sort().to_list() == [1, 2, 4]


def test_a_table_that_is_too_large_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "CREATE TABLE public.ds_things AS SELECT i, repeat('x', 100) AS t FROM generate_series(1, 999) i"
        )
    assert read(database_url, "i", max_rows=999).height == 999
    with pytest.raises(TargetError, match="too large to look rows up in: more than 998 rows") as raised:
        read(database_url, "i", max_rows=998)
    assert raised.value.code == "lookup_too_large"
    with pytest.raises(TargetError, match="more than 0 MiB"):
        read(database_url, "i", "t", max_bytes=10_000)


def test_a_value_that_the_engine_cannot_hold_is_named(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE public.ds_things AS SELECT 1 AS i, 'infinity'::timestamp AS until")
    with pytest.raises(TargetError, match="holds 'infinity' in column 'until'") as raised:
        read(database_url, "i", "until")
    assert raised.value.code == "lookup_unreadable"
    assert read(database_url, "i").height == 1


def test_a_table_that_is_gone_is_reported(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE public.ds_things (i int)")
    table = describe_table(database_url, "public.ds_things")
    with psycopg.connect(database_url) as connection:
        connection.execute("DROP TABLE public.ds_things")
    with pytest.raises(TargetError, match=r"public\.ds_things cannot be read"):
        read_reference(database_url, table, ["i"], 1)
