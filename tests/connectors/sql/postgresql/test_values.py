"""Every type, value by value: from the source's server to a batch, and from there to the target's."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest

from headrace.connectors.source import ROW
from headrace.ir.schema import Field
from tests.connectors.reading import batches, rejects, rows
from tests.connectors.sql.postgresql.shop import Shop
from tests.connectors.sql.postgresql.values import ERROR, TYPES, VALUES
from tests.flows.runtime.runs import Runner

pytestmark = pytest.mark.postgres


@pytest.fixture
def typed(shop: Shop) -> Shop:
    shop.make(*(each.format(schema="shop") for each in TYPES))
    return shop


def filled(shop: Shop, kind: str) -> list[tuple[str, Any]]:
    """A table of the type with each value, and null."""
    shop.make(f"CREATE TABLE t (n int PRIMARY KEY, v {kind}, z text)")
    with psycopg.connect(shop.owner, autocommit=True, options="-csearch_path=shop -ctimezone=UTC") as connection:
        for number, (text, _) in enumerate(VALUES[kind], 1):
            connection.execute(f"INSERT INTO t VALUES (%s, %s::{kind}, '')".encode(), (number, text))
        connection.execute("INSERT INTO t VALUES (0, NULL, NULL)")
    return VALUES[kind]


def same(value: Any, expected: Any) -> bool:
    if isinstance(expected, float) and isinstance(value, float):
        return value == expected and math.copysign(1, value) == math.copysign(1, expected)
    return type(value) is type(expected) and bool(value == expected)


@pytest.mark.parametrize("kind", VALUES)
def test_each_value_arrives_exactly_or_as_an_error(typed: Shop, kind: str) -> None:
    values = filled(typed, kind)
    source = typed.source(table="shop.t")
    found = source.discover(max_partitions=1)
    [batch] = batches(source, found, found.partitions[0])
    good = {number: value for number, (_, value) in enumerate(values, 1) if value is not ERROR}
    read = {number: (value, z) for number, value, z, _ in batch.frame.rows()}
    assert read.pop(0) == (None, None)
    assert read.keys() == good.keys()
    assert [number for number, value in good.items() if not same(read[number][0], value)] == []
    assert {z for _, z in read.values()} <= {""}
    bad = typed.rows("SELECT n, v::text FROM t ORDER BY n")
    with psycopg.connect(typed.owner, options="-csearch_path=shop -ctimezone=UTC") as connection:
        bad = connection.execute("SELECT n, v::text FROM t ORDER BY n").fetchall()
    expected = [text for number, text in bad if number and number not in good]
    assert [(column, value, rule) for _, column, value, _, rule in batch.rejects.rows()] == [
        ("v", text, "type") for text in expected
    ]
    assert ("v" in found.sure) == (kind not in UNSURE)


UNSURE = {kind for kind, values in VALUES.items() if any(value is ERROR for _, value in values)} | {
    *("numeric(38,0)", "numeric(38,38)", "numeric(5,-2)", "numeric(3,5)", "time(0)")
}


@pytest.mark.parametrize("kind", VALUES)
def test_sure_columns_have_no_error_and_others_may(typed: Shop, kind: str) -> None:
    filled(typed, kind)
    source = typed.source(table="shop.t")
    found = source.discover(max_partitions=1)
    if "v" in found.sure:
        assert rejects(source) == []


def test_a_double_that_is_no_number_arrives_as_such(shop: Shop) -> None:
    shop.make("CREATE TABLE t AS SELECT 'NaN'::float8 AS a, 'NaN'::float4 AS b")
    [(a, b)] = rows(shop.source(table="shop.t"))
    assert math.isnan(a)
    assert math.isnan(b)


def test_anything_can_be_declared_text_and_arrives_as_the_server_writes_it(typed: Shop) -> None:
    for kind in ("numeric", "date", "timestamptz", "boolean", "real", "time"):
        typed.make("DROP TABLE IF EXISTS t")
        filled(typed, kind)
        source = typed.source((Field("v", "text"),), table="shop.t")
        assert "v" in source.discover(max_partitions=1).sure
        with psycopg.connect(typed.owner, options="-csearch_path=shop -ctimezone=UTC") as connection:
            assert rows(source) == connection.execute("SELECT v::text FROM t ORDER BY n").fetchall()


def test_a_column_with_a_value_that_is_none_stays_exact_in_the_batches_after_it(shop: Shop) -> None:
    shop.make(
        "CREATE TABLE t (n int PRIMARY KEY, d date, a numeric(8,2), at timestamptz)",
        "INSERT INTO t SELECT i, CASE i WHEN 5 THEN 'infinity' ELSE date '2024-01-01' + i END, "
        "CASE i WHEN 25 THEN 'NaN' ELSE i / 4.0 END, CASE i WHEN 45 THEN 'infinity' ELSE timestamptz 'epoch' "
        "+ i * interval '0.1 s' END FROM generate_series(1, 60) i",
    )
    source = shop.source(table="shop.t")
    found = source.discover(max_partitions=1)
    read = batches(source, found, found.partitions[0], batch_rows=10)
    assert [(b.rows, b.frame.height) for b in read] == [(10, 9), (10, 10), (10, 9), (10, 10), (10, 9), (10, 10)]
    whole = pl.concat([b.frame for b in read])
    assert whole.drop(ROW).rows() == shop.rows("SELECT * FROM t WHERE n NOT IN (5, 25, 45) ORDER BY n")
    assert [row[:3] for b in read for row in b.rejects.rows()] == [
        (5, "d", "infinity"),
        (25, "a", "NaN"),
        (45, "at", "infinity"),
    ]
    located = read[0].locate
    assert located is not None
    assert located(pl.Series([5, 2])).to_list() == ["n=5", "n=2"]


def test_what_lands_in_the_target_is_what_the_source_has(typed: Shop, database_url: str) -> None:
    """Every type into a column of its own type, over a whole run."""
    names = [f"c{place}" for place in range(len(VALUES))]
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(names, VALUES, strict=True))
    good = [[text for text, value in values if value is not ERROR] for values in VALUES.values()]
    typed.make(f"CREATE TABLE every (n int, {columns})")
    with psycopg.connect(typed.owner, autocommit=True, options="-csearch_path=shop -ctimezone=UTC") as connection:
        for number in range(max(map(len, good)) + 1):
            row = [texts[number] if number < len(texts) else None for texts in good]
            casts = ", ".join(f"%s::{kind}" for kind in VALUES)
            connection.execute(f"INSERT INTO every VALUES ({number}, {casts})".encode(), row)
    typed.make("VACUUM ANALYZE every")
    with psycopg.connect(database_url, autocommit=True) as connection:
        for each in TYPES:
            connection.execute(each.format(schema="public").encode())
        connection.execute(f"CREATE TABLE public.ds_every (n int, {columns})".encode())
    runs = Runner(Path("/nowhere"), database_url, typed.credentials, type="postgresql", config=typed.config)
    runs.run(
        [
            {"id": "src", "kind": "source", "connector": "postgresql", "config": {"table": "shop.every"}},
            {"id": "out", "kind": "target", "input": "src", "schema": "public.ds_every"},
        ]
    )
    assert runs.recorder.cells == []
    written = ", ".join(f"{name}::text" for name in names)
    there = [f"SELECT n, {written} FROM {table} ORDER BY n" for table in ("shop.every", "public.ds_every")]
    found = []
    for url, statement in zip((typed.owner, database_url), there, strict=True):
        with psycopg.connect(url, options="-ctimezone=UTC") as connection:
            found.append(connection.execute(statement.encode()).fetchall())
    expected, landed = (list(zip(*rows, strict=True)) for rows in found)
    other = {kind: (a, b) for kind, a, b in zip(["n", *VALUES], expected, landed, strict=True) if a != b}
    assert set(other) == {"numeric"}
    same_numbers = [[value and Decimal(value) for value in side] for side in other["numeric"]]
    assert same_numbers[0] == same_numbers[1]  # 1.5 and 1.500000000
