"""Every supported column type stores every value it can hold and returns it unchanged."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from headrace.connectors.postgresql.copy import encode as module
from headrace.connectors.postgresql.copy.copy_rows import copy_rows
from headrace.connectors.postgresql.copy.encode import ENCODINGS
from headrace.connectors.postgresql.copy.precheck import precheck
from headrace.connectors.postgresql.tables.describe import Column, describe_table
from headrace.connectors.source import ROW
from tests.effort import examples

pytestmark = pytest.mark.postgres

TEXT = st.text(alphabet=st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=20)
JSON = st.sampled_from(['{"a": [1, 2.5, null, "ü"]}', "[]", '"x"', "12", "null", "true"])
UUID = st.uuids().map(str) | st.uuids().map(lambda value: value.hex) | st.uuids().map(lambda value: str(value).upper())
DAYS = st.dates(date(1, 1, 1), date(9999, 12, 31))
STAMPS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))
AWARE = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))
SINGLES = st.floats(width=32)


def decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    most = 10**precision - 1
    return st.integers(-most, most).map(lambda value: Decimal(value).scaleb(-scale))


TYPES: dict[str, tuple[str, Any, st.SearchStrategy[Any]]] = {
    "int2": ("smallint", pl.Int16, st.integers(-(2**15), 2**15 - 1)),
    "int4": ("integer", pl.Int32, st.integers(-(2**31), 2**31 - 1)),
    "int8": ("bigint", pl.Int64, st.integers(-(2**63), 2**63 - 1)),
    "float4": ("real", pl.Float32, SINGLES),
    "float8": ("double precision", pl.Float64, st.floats()),
    "numeric(38,9)": ("numeric", pl.Decimal(38, 9), decimals(30, 9)),
    "numeric(12,2)": ("numeric(12,2)", pl.Decimal(12, 2), decimals(12, 2)),
    "numeric(30,20)": ("numeric(30,20)", pl.Decimal(30, 20), decimals(28, 20)),
    "bool": ("boolean", pl.Boolean, st.booleans()),
    "text": ("text", pl.String, TEXT),
    "varchar": ("varchar(20)", pl.String, TEXT),
    "json": ("json", pl.String, JSON),
    "jsonb": ("jsonb", pl.String, JSON),
    "enum": ("mood", pl.String, st.sampled_from(["sad", "ok", "größer"])),
    "uuid": ("uuid", pl.String, UUID),
    "uuid as bytes": ("uuid", pl.Binary, st.binary(min_size=16, max_size=16)),
    "bytea": ("bytea", pl.Binary, st.binary(max_size=30)),
    "date": ("date", pl.Date, DAYS),
    "time": ("time", pl.Time, st.times()),
    "timestamp": ("timestamp", pl.Datetime("us"), STAMPS),
    "timestamp from ms": ("timestamp", pl.Datetime("ms"), STAMPS.map(lambda value: value.replace(microsecond=0))),
    "timestamp from ns": ("timestamp", pl.Datetime("ns"), st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1))),
    "timestamptz": ("timestamptz", pl.Datetime("us", "UTC"), AWARE),
    "interval": (
        "interval",
        pl.Duration("us"),
        st.timedeltas(timedelta(days=-100_000), timedelta(days=100_000)),
    ),
    "text[]": ("text[]", pl.List(pl.String), st.lists(st.none() | TEXT, max_size=3)),
    "int[]": ("int[]", pl.List(pl.Int32), st.lists(st.none() | st.integers(-(2**31), 2**31 - 1), max_size=3)),
    "domain": ("short", pl.String, st.text("abc", max_size=5)),
}


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as opened:
        opened.execute("CREATE TYPE mood AS ENUM ('sad', 'ok', 'größer')")
        opened.execute("CREATE DOMAIN short AS varchar(5)")
        opened.execute("SET timezone = 'UTC'")
        yield opened


def same(sent: object, stored: object, name: str) -> bool:
    if sent is None or stored is None:
        return sent is stored
    if isinstance(sent, float) and isinstance(stored, float):
        return sent == stored or (math.isnan(sent) and math.isnan(stored)) or (math.isinf(sent) and sent == stored)
    if name == "uuid":
        return str(sent).lower().replace("-", "") == str(stored).replace("-", "")
    if name == "uuid as bytes":
        return isinstance(sent, bytes) and sent.hex() == str(stored).replace("-", "")
    return sent == stored


@pytest.mark.parametrize("name", list(TYPES))
def test_values_come_back_as_they_were(connection: psycopg.Connection[Any], name: str) -> None:
    ddl, dtype, strategy = TYPES[name]
    connection.execute(f"CREATE TABLE t (a {ddl})")  # type: ignore[arg-type]
    columns = describe_table(connection, "t").columns
    shown = "a::text" if name in ("json", "jsonb", "uuid", "uuid as bytes", "enum") else "a"
    shown = "a::float8" if name == "float4" else shown

    @settings(max_examples=examples(12), suppress_health_check=list(HealthCheck))
    @given(st.lists(st.none() | strategy, max_size=12))
    def round_trip(values: list[Any]) -> None:
        frame = pl.DataFrame({"a": pl.Series(values, dtype=dtype), ROW: range(1, len(values) + 1)})
        good, rejects = precheck(frame.with_columns(pl.col(ROW).cast(pl.Int64)), columns)
        assert rejects.is_empty()
        connection.execute("TRUNCATE t")
        with connection.transaction():
            copy_rows(connection, sql.Identifier("t"), good, columns)
        stored = [row[0] for row in connection.execute(f"SELECT {shown} FROM t").fetchall()]  # type: ignore[arg-type]
        assert len(stored) == len(values)
        for sent, back in zip(values, stored, strict=True):
            assert same(sent, back, name), (sent, back)

    round_trip()


def test_numbers_move_between_widths_or_are_named(connection: psycopg.Connection[Any]) -> None:
    connection.execute(
        "CREATE TABLE t (a smallint, b numeric(5,2), c real, d text, e timestamptz, f timestamp, g date)"
    )
    columns = describe_table(connection, "t").columns
    frame = pl.DataFrame(
        {
            "a": [1, 40_000],
            "b": [1.255, 1000.0],
            "c": [1, 2],
            "d": [True, False],
            "e": [date(2024, 1, 1)] * 2,
            "f": pl.Series([datetime(2024, 1, 1, 12)] * 2).dt.replace_time_zone("Europe/Berlin"),
            "g": [datetime(2024, 1, 1, 12)] * 2,
            ROW: [1, 2],
        }
    )
    good, rejects = precheck(frame, columns)
    assert rejects.select("row", "column", "error").rows() == [
        (2, "a", "Value out of range for smallint"),
        (2, "b", "Value out of range for numeric(5,2)"),
    ]
    with connection.transaction():
        copy_rows(connection, sql.Identifier("t"), good, columns)
    assert connection.execute("SELECT a, c, d, e::text, f::text, g::text FROM t").fetchall() == [
        (1, 1.0, "true", "2024-01-01 00:00:00+00", "2024-01-01 11:00:00", "2024-01-01")
    ]


def test_a_column_of_nothing_but_nulls_fits_every_type(connection: psycopg.Connection[Any]) -> None:
    for ddl, _, _ in TYPES.values():
        connection.execute(f"CREATE TABLE t (a {ddl})")  # type: ignore[arg-type]
        columns: tuple[Column, ...] = describe_table(connection, "t").columns
        good, rejects = precheck(pl.DataFrame({"a": [None, None], ROW: [1, 2]}), columns)
        assert rejects.is_empty()
        with connection.transaction():
            copy_rows(connection, sql.Identifier("t"), good, columns)
        assert connection.execute("SELECT count(*), count(a) FROM t").fetchone() == (2, 0)
        connection.execute("DROP TABLE t")


def test_every_encoding_is_tried_here() -> None:
    tried = {"int2", "int4", "int8", "float4", "float8", "numeric", "bool", "text", "varchar", "json", "jsonb", "enum"}
    tried |= {"uuid", "bytea", "date", "time", "timestamp", "timestamptz", "interval", "_text", "_int4"}
    like_another = {"bpchar", "name", "citext", "_int2", "_int8", "_float8", "_bool", "_date"}
    assert set(ENCODINGS) == tried | like_another


ROWS = st.lists(st.tuples(st.integers(0, 9), st.none() | TEXT | TEXT.map(lambda text: text * 20)), max_size=40)


@settings(max_examples=examples(200))
@given(ROWS, ROWS, st.integers(1, 400), st.integers(0, 20))
def test_pieces_are_the_whole(before: list[Any], after: list[Any], piece_bytes: int, begin: int) -> None:
    """Of frames whose texts lie in several buffers, and begin within them."""
    columns = [Column("n", "int4", "integer", nullable=True), Column("t", "text", "text", nullable=True)]
    schema = pl.Schema({"n": pl.Int32, "t": pl.String})
    frame = pl.concat([pl.DataFrame(rows, schema=schema, orient="row") for rows in (before, after)]).slice(begin)
    expected = b"PGCOPY\n\xff\r\n\0" + bytes(8)
    for number, text in frame.rows():
        expected += struct.pack("!hii", 2, 4, number)
        encoded = None if text is None else text.encode()
        expected += struct.pack("!i", -1) if encoded is None else struct.pack("!i", len(encoded)) + encoded
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "PIECE_BYTES", piece_bytes)
        pieces = [*module.encode(frame, columns)]
    assert b"".join(pieces) == expected + b"\xff\xff"
