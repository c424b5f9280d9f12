"""Every type, value by value: from the source's server to a batch, and from there to the target's."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.connectors.source import ROW
from headrace.ir.schema import Field
from tests.connectors.reading import batches, frame, rejects, rows
from tests.connectors.sql.mysql.market import DATABASE, Market, owner
from tests.connectors.sql.mysql.values import ERROR, VALUES


def filled(market: Market, kind: str) -> list[tuple[str, Any]]:
    """A table of the type with each value, and null."""
    values = VALUES[kind]
    market.make(
        f"CREATE OR REPLACE TABLE t (n int PRIMARY KEY, v {kind}, z text)",
        "INSERT INTO t VALUES (0, NULL, NULL)",
        *(f"INSERT INTO t VALUES ({number}, {text}, '')" for number, (text, _) in enumerate(values, 1)),
    )
    return values


def same(value: Any, expected: Any) -> bool:
    if isinstance(expected, float) and isinstance(value, float):
        return value == expected and math.copysign(1, value) == math.copysign(1, expected)
    return type(value) is type(expected) and bool(value == expected)


@pytest.mark.parametrize("kind", VALUES)
def test_each_value_arrives_exactly_or_as_an_error(market: Market, kind: str) -> None:
    values = filled(market, kind)
    source = market.source(table="shop.t")
    found = source.discover(max_partitions=1)
    [batch] = batches(source, found, found.partitions[0])
    good = {number: value for number, (_, value) in enumerate(values, 1) if value is not ERROR}
    read = {number: (value, z) for number, value, z, _ in batch.frame.rows()}
    assert read.pop(0) == (None, None)
    assert read.keys() == good.keys()
    assert [(read[number][0], value) for number, value in good.items() if not same(read[number][0], value)] == []
    bad = [text for number, text in market.rows("SELECT n, v FROM t ORDER BY n") if int(number) not in {0, *good}]
    assert [(column, value, rule) for _, column, value, _, rule in batch.rejects.rows()] == [
        ("v", text, "type") for text in bad
    ]
    # the remedy is named for all but days that no month has
    corrected = [error for *_, value, error, _ in batch.rejects.rows() if value[5:10] not in ("02-31", "02-30")]
    assert all("declare the field as text" in error for error in corrected)
    assert ("v" in found.sure) == (not kind.startswith(("date", "time")))
    # the same from a query, which the protocol describes
    source = market.source(query="SELECT n, v FROM t", key=["n"])
    found = source.discover(max_partitions=1)
    [from_query] = batches(source, found, found.partitions[0])
    assert from_query.frame["v"].to_list() == batch.frame["v"].to_list()
    assert from_query.rejects.rows() == batch.rejects.rows()


def test_anything_can_be_declared_text_and_arrives_as_the_server_writes_it(market: Market) -> None:
    for kind in ("date", "datetime(6)", "time(6)", "decimal(12,2)", "timestamp null", "bigint unsigned", "year"):
        filled(market, kind)
        source = market.source((Field("v", "text"),), table="t")
        assert "v" in source.discover(max_partitions=1).sure
        assert rows(source) == market.rows("SELECT v FROM t ORDER BY n")


def test_what_is_declared_otherwise_is_read_as_that(market: Market) -> None:
    market.make(
        "CREATE TABLE t (id int PRIMARY KEY, b bit(1), t tinyint(1), d decimal(65,30), f float)",
        "INSERT INTO t VALUES (1, b'1', 1, 1.5, 0.5), (2, b'0', 0, 123456789012345678901234567890.5, 0.25)",
    )
    declared = (Field("b", "boolean"), Field("t", "boolean"), Field("d", "decimal", 38, 2), Field("f", "decimal", 9, 3))
    source = market.source(declared, table="t")
    assert [tuple(map(str, row)) for row in rows(source)] == [
        ("True", "True", "1.50", "0.500"),
        ("False", "False", "123456789012345678901234567890.50", "0.250"),
    ]


def test_a_zero_date_is_never_silent_and_can_be_mapped(market: Market) -> None:
    market.make(
        "CREATE TABLE t (n int PRIMARY KEY, d date NOT NULL)",
        "INSERT INTO t VALUES (1, '0000-00-00'), (2, '2024-05-06')",
    )
    [(number, column, value, error, _)] = rejects(market.source(table="t"))
    assert (number, column, value) == (1, "d", "0000-00-00")
    assert "NULLIF" in error
    mapped = market.source(query="SELECT n, NULLIF(d, '0000-00-00') AS d FROM t", key=["n"])
    assert [row[1] and row[1].isoformat() for row in rows(mapped)] == [None, "2024-05-06"]


def test_a_column_with_a_value_that_is_none_stays_exact_in_the_batches_after_it(market: Market) -> None:
    market.make(
        "CREATE TABLE t (n int PRIMARY KEY, d date, at datetime(6))",
        "INSERT INTO t SELECT seq, IF(seq = 5, '0000-00-00', DATE '2024-01-01' + INTERVAL seq DAY), "
        "IF(seq = 45, '2024-00-00', TIMESTAMP '2024-01-01 00:00:00' + INTERVAL seq * 123457 MICROSECOND) "
        "FROM seq_1_to_60",
    )
    source = market.source(table="t")
    found = source.discover(max_partitions=1)
    read = batches(source, found, found.partitions[0], batch_rows=10)
    assert [(b.rows, b.frame.height) for b in read] == [(10, 9), (10, 10), (10, 10), (10, 10), (10, 9), (10, 10)]
    whole = frame(read).drop(ROW).rows()
    expected = market.rows("SELECT n, d, at FROM t WHERE n NOT IN (5, 45) ORDER BY n")
    assert [(str(n), d.isoformat(), at.isoformat(" ", "microseconds")) for n, d, at in whole] == expected


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
@settings(max_examples=20)
def test_every_double_and_float_arrives_as_the_very_number(pool: Market, numbers: list[float]) -> None:
    singles = [struct.unpack("f", struct.pack("f", each % 1e38))[0] for each in numbers]
    listed = ", ".join(
        f"({at}, {number!r}{'' if 'e' in repr(number) else 'e0'}, {single!r}{'' if 'e' in repr(single) else 'e0'})"
        for at, (number, single) in enumerate(zip(numbers, singles, strict=True))
    )
    pool.make("CREATE OR REPLACE TABLE f (n int PRIMARY KEY, d double, s float)", f"INSERT INTO f VALUES {listed}")
    read = rows(pool.source(table="f"))
    assert [row[1] for row in read] == numbers
    assert [row[2] for row in read] == singles


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TRAPS = st.sampled_from(
    ["", "\\N", "\\", "\\\\n", "\\'", "\n", "\r\n", "\t", '"', "'", "''", "\ufeffx", "NULL", "%s", "\0"]
)


@given(st.lists(st.one_of(st.none(), TEXTS, TRAPS), max_size=20))
@settings(max_examples=30)
def test_every_text_arrives_as_it_is_and_as_bytes(pool: Market, texts: list[str | None]) -> None:
    pool.make("CREATE OR REPLACE TABLE x (n int PRIMARY KEY, a text, b blob)")
    for at, text in enumerate(texts):
        written = "NULL" if text is None else f"X'{text.encode().hex()}'"
        pool.make(f"INSERT INTO x VALUES ({at}, CONVERT({written} USING utf8mb4), {written})")
    expected = [(at, text, None if text is None else "\\x" + text.encode().hex()) for at, text in enumerate(texts)]
    assert rows(pool.source(table="x")) == expected


@pytest.fixture(scope="module")
def pool(mariadb: tuple[str, int]) -> Market:
    path, port = mariadb
    with owner(path) as run:
        run(f"CREATE DATABASE IF NOT EXISTS {DATABASE} CHARACTER SET utf8mb4")
    return Market(port, path, {"host": "localhost", "port": port, "database": DATABASE})
