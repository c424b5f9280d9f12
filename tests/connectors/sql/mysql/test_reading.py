"""Partitions are disjoint and complete, in the server's order, and reading continues after every batch."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.connectors.errors import SourceError
from headrace.connectors.source import ROW, Bound, Restart, Wanted, numbered_from
from headrace.connectors.sql.mysql.probes import probes
from headrace.ir.schema import Field
from tests.connectors.reading import batches, frame, rows
from tests.connectors.sql.mysql.market import Market

KEYS = {
    "int": "seq * 7",
    "bigint unsigned": "18446744073709551615 - seq * 1000003",
    "bigint": "IF(seq < 1990, seq, seq * 1000000000)",  # skewed: nearly all in the first millionth
    "decimal(50,20)": "seq * 1.00000000001",
    "double": "seq * 1e-1",
    "float": "seq * 3",
    "date": "DATE '2000-01-01' + INTERVAL seq DAY",
    "datetime(6)": "TIMESTAMP '2000-01-01 00:00:00' + INTERVAL seq * 1234567 MICROSECOND",
    "timestamp": "FROM_UNIXTIME(seq * 1000)",
    "binary(16)": "UNHEX(MD5(seq))",
    "varchar(40)": "CONCAT('Cust-', IF(seq % 2, UPPER(MD5(seq)), LOWER(MD5(seq))))",
    "varchar(40) COLLATE utf8mb4_bin": "CONCAT(IF(seq % 2, UPPER(MD5(seq)), MD5(seq)), '\\\\')",
    "varchar(40) COLLATE utf8mb4_german2_ci": "CONCAT(ELT(1 + seq % 6, 'ä', 'Ö', 'ss', 'z', 'é', '😀'), seq)",
    "char(12) CHARACTER SET latin1 COLLATE latin1_swedish_ci": "CONCAT(ELT(1 + seq % 4, 'ü', 'y', 'Å', 'o'), seq)",
}
UNCUT = {"enum": "enum({members})", "bit": "bit(16)", "uuid": "uuid", "time": "time"}


def table(market: Market, kind: str = "bigint", count: int = 2000, made: str | None = None) -> None:
    market.make(
        f"CREATE TABLE t (id {kind} PRIMARY KEY, n int)",
        f"INSERT INTO t SELECT {made or KEYS[kind]}, seq FROM seq_1_to_{count}",
        "ANALYZE TABLE t",
    )


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.first_variant
def test_ranges_of_a_key_are_together_all_rows_in_the_servers_order(market: Market, kind: str) -> None:
    table(market, kind)
    source = market.source(table="shop.t", partitioning={"partitions": 4})
    found = source.discover(max_partitions=8)
    assert (len(found.partitions), found.restart, found.counted) == (4, Restart.BOUNDARY, False)
    assert [each.first_row for each in found.partitions] == [numbered_from(index) for index in range(4)]
    assert [each.label for each in found.partitions][:2] == ["shop.t [1/4]", "shop.t [2/4]"]
    [note] = found.notes
    assert "at its own time" in note
    parts = [frame(batches(source, found, each))["n"].to_list() for each in found.partitions]
    ordered = [int(n) for (n,) in market.rows("SELECT n FROM t ORDER BY id")]
    assert [n for part in parts for n in part] == ordered
    assert max(map(len, parts)) < 900, "about a quarter each"


@pytest.mark.parametrize("kind", KEYS)
def test_reading_goes_on_from_every_batch(market: Market, kind: str) -> None:
    table(market, kind, 200)
    goes_on(market)


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("enum('c','b','a','it''s','d')", "ELT(seq, 'a', 'b', 'c', 'it''s', 'd')"),  # ordered by number, not by text
        ("set('b','a','c')", "seq"),
        ("bit(16)", "seq * 300"),
        ("uuid", "MD5(seq)"),
        ("time", "SEC_TO_TIME(seq * 100)"),
        ("year", "1900 + seq"),
        ("varchar(10) CHARACTER SET utf16", "CONCAT('x', seq)"),
    ],
)
def test_other_keys_are_read_on_from_too(market: Market, kind: str, made: str) -> None:
    table(market, kind, 5, made)
    goes_on(market, size=2)


def goes_on(market: Market, size: int = 70) -> None:
    source = market.source(table="shop.t")
    found = source.discover(max_partitions=1)
    [partition] = found.partitions
    whole = batches(source, found, partition, batch_rows=size)
    total = sum(batch.rows for batch in whole)
    assert [batch.rows for batch in whole] == [size] * (total // size) + [total % size]
    assert frame(whole)["n"].to_list() == [int(n) for (n,) in market.rows("SELECT n FROM t ORDER BY id")]
    for place, batch in enumerate(whole):
        # the key is not wanted, and is read all the same
        rest = batches(
            source,
            found,
            partition,
            position=batch.position,
            rows_done=batch.rows_done,
            columns=("n",),
            batch_rows=size,
        )
        assert all(each.frame.columns == ["n", ROW] for each in rest)
        expected = [n for each in whole[place + 1 :] for n in each.frame["n"]]
        assert [n for each in rest for n in each.frame["n"]] == expected
        assert [number for each in rest for number in each.frame[ROW]] == list(range(batch.rows_done + 1, total + 1))


def test_a_key_of_several_columns_is_cut_by_its_first(market: Market) -> None:
    market.make(
        "CREATE TABLE t (tenant int, id varchar(20), n int, PRIMARY KEY (tenant, id))",
        "INSERT INTO t SELECT seq % 5, CONCAT(IF(seq % 3, 'x', 'X'), seq), seq FROM seq_1_to_1000",
        "ANALYZE TABLE t",
    )
    source = market.source(table="t", partitioning={"partitions": 3})
    found = source.discover(max_partitions=3)
    assert len(found.partitions) == 3
    read: list[int] = []
    for partition in found.partitions:
        position, done = None, 0
        while True:
            first = batches(source, found, partition, batch_rows=90, position=position, rows_done=done)[:1]
            if not first:
                break
            read += first[0].frame["n"].to_list()
            position, done = first[0].position, first[0].rows_done
    assert sorted(read) == list(range(1, 1001))


def test_a_column_that_is_named_is_cut_with_its_nulls_once(market: Market) -> None:
    market.make(
        "CREATE TABLE t (id int PRIMARY KEY, city varchar(10), at timestamp NULL, KEY (city))",
        "INSERT INTO t SELECT seq, IF(seq % 3 = 0, NULL, CONCAT('c', seq % 40)), NULL FROM seq_1_to_900",
        "ANALYZE TABLE t",
    )
    source = market.source(table="t", columns=["id"], partitioning={"by": "key", "column": "city", "partitions": 4})
    assert len(source.discover(max_partitions=4).partitions) == 4
    assert sorted(rows(source, most=4)) == [(n,) for n in range(1, 901)]
    # no index begins with it: one partition, as each would read the whole table
    other = market.source(table="t", partitioning={"by": "key", "column": "at", "partitions": 4})
    assert len(other.discover(max_partitions=4).partitions) == 1


def test_without_a_key_there_is_one_partition_and_nothing_can_be_read_on(market: Market) -> None:
    market.make(
        "CREATE TABLE t (a int, b int, UNIQUE KEY (a))",  # a may be null
        "INSERT INTO t SELECT seq, seq FROM seq_1_to_50",
        "CREATE TABLE u (a int NOT NULL, b varchar(9) NOT NULL, UNIQUE KEY (a, b), UNIQUE KEY k (b(3), a))",
        "CREATE TABLE e (id int PRIMARY KEY)",
    )
    source = market.source(table="t", partitioning={"partitions": 4})
    found = source.discover(max_partitions=4)
    assert (len(found.partitions), found.restart) == (1, Restart.NONE)
    assert sorted(rows(source)) == [(n, n) for n in range(1, 51)]
    with pytest.raises(SourceError, match="no pages"):
        market.source(table="t", partitioning={"by": "ctid"}).discover(max_partitions=4)
    assert market.source(table="u").found().key == ("a", "b")
    empty = market.source(table="e", partitioning={"partitions": 4})
    assert rows(empty) == []
    assert empty.sample(5).columns == ["id", ROW]


def test_each_partition_sees_one_moment(market: Market) -> None:
    table(market, "int", 5000)
    source = market.source(table="t")
    found = source.discover(max_partitions=1)
    wanted = Wanted(frozenset(("n",)), batch_rows=500)
    reading = source.read(found.partitions[0], found.schema, wanted=wanted)
    first = next(reading)
    market.make("UPDATE t SET n = -n", "DELETE FROM t WHERE id % 2 = 0")
    assert frame([first, *reading])["n"].to_list() == list(range(1, 5001))


def test_partitions_are_read_by_several_threads_at_once_and_among_other_loops(market: Market) -> None:
    import asyncio

    table(market, "int", 20_000)
    source = market.source(table="t", partitioning={"partitions": 4})
    found = source.discover(max_partitions=4)
    read: list[int] = []
    threads = [
        threading.Thread(target=lambda part=each: read.extend(frame(batches(source, found, part))["n"]))
        for each in found.partitions
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(read) == list(range(1, 20_001))

    async def within() -> int:
        return frame(batches(source, found, found.partitions[0])).height

    assert asyncio.run(within()) > 0


def test_a_query_is_one_partition_and_a_key_lets_it_be_read_on(market: Market) -> None:
    table(market, "int")
    text = "SELECT id, n * 2 AS twice, 'a''b\\\\' AS x FROM t WHERE n <= :most AND 'a\\'b' <> :text -- all of them"
    given = {"most": 100, "text": "it's \\ :most"}
    source = market.source(query=text, parameters=given)
    found = source.discover(max_partitions=8)
    assert ([each.label for each in found.partitions], found.restart) == (["query"], Restart.NONE)
    assert sorted(twice for _, twice, _ in rows(source)) == list(range(2, 201, 2))
    keyed = market.source(query=text, parameters=given, key=["id"])
    found = keyed.discover(max_partitions=8)
    assert found.restart is Restart.BOUNDARY
    first = batches(keyed, found, found.partitions[0], batch_rows=30)[0]
    rest = batches(keyed, found, found.partitions[0], position=first.position, rows_done=30)
    assert sorted([*first.frame["twice"], *frame(rest)["twice"]]) == list(range(2, 201, 2))
    for other in ("WITH x AS (SELECT 1 AS a) SELECT * FROM x;", "SELECT 1 AS a UNION ALL SELECT 2"):
        assert rows(market.source(query=other))


@pytest.mark.parametrize(
    ("query", "reported"),
    [
        ("SELECT 1 AS a, 2 AS a", "twice"),
        ("SELECT f() AS a", "writes|READ ONLY|read"),
        ("SELECT * FROM nowhere", "nowhere"),
        ("SELECT x FROM t", "x"),
        ("SELECT 1 AS a; DROP TABLE t", "2 statements"),
        ("SELECT 1 AS a INTO OUTFILE '/tmp/x'", "query"),
        ("SELECT id FROM t FOR UPDATE", "locks"),
        ("SELECT 1 AS a /*! UNION SELECT 2 */", "executed"),
    ],
)
def test_queries_that_cannot_be_read_say_why(market: Market, query: str, reported: str) -> None:
    market.make(
        "CREATE TABLE t (id int)",
        "CREATE FUNCTION f() RETURNS int BEGIN INSERT INTO t VALUES (1); RETURN 1; END",
        "GRANT EXECUTE ON shop.* TO reader@'%'",
    )
    with pytest.raises(SourceError, match=reported):
        rows(market.source(query=query))
    assert market.rows("SELECT * FROM t") == []


@pytest.mark.parametrize(
    ("key", "reported"),
    [("city", "same key"), ("n", "null in some rows"), ("accent", "same key"), ("padded", "same key")],
)
def test_a_key_that_is_none_to_the_server_is_reported_before_anything_is_lost(
    market: Market, key: str, reported: str
) -> None:
    market.make(
        "CREATE TABLE base AS SELECT seq AS i, NULLIF(seq, 50) AS n, CONCAT('c', seq % 10) AS city, "
        "CONCAT(ELT(1 + seq % 2, 'e', 'É'), seq DIV 2) AS accent, CONCAT('c', seq DIV 2, IF(seq % 2, ' ', '')) "
        "AS padded FROM seq_2_to_101",
        # the login may read it and not plan it: it has no right to the table
        "CREATE VIEW v AS SELECT * FROM base",
    )
    source = market.source(table="v", key=[key])
    with pytest.raises(SourceError, match=reported) as refused:
        rows(source, batch_rows=7)
    assert refused.value.code == "bad_key"


def test_an_enum_of_a_query_is_no_key(market: Market) -> None:
    market.make("CREATE TABLE t (e enum('b','a'))", "INSERT INTO t VALUES ('a'), ('b')")
    with pytest.raises(SourceError, match="CAST"):
        rows(market.source(query="SELECT e FROM t", key=["e"]))
    assert rows(market.source(query="SELECT CAST(e AS CHAR) AS e FROM t", key=["e"])) == [("a",), ("b",)]


def test_columns_and_declared_fields_say_what_is_read(market: Market) -> None:
    market.make("CREATE TABLE t (id int PRIMARY KEY, `Amount` decimal(10,4), at timestamp(1))")
    market.make("INSERT INTO t VALUES (1, 12.3456, '2024-01-31 10:00:00.5')")
    declared = (Field("amount", "text"), Field("id", "decimal", 12, 2), Field("at", "text"))
    source = market.source(declared, table="t")
    assert source.discover(max_partitions=1).schema == declared
    [(amount, number, at)] = rows(source)
    assert (amount, str(number), at) == ("12.3456", "1.00", "2024-01-31 10:00:00.5")
    with pytest.raises(SourceError, match="Did you mean 'Amount'"):
        market.source(table="t", columns=["amuont"]).discover(max_partitions=1)
    with pytest.raises(SourceError, match="Did you mean"):
        market.source(table="shop.tt").discover(max_partitions=1)


@pytest.mark.slow
def test_wide_rows_come_in_small_frames(market: Market) -> None:
    market.make(
        "CREATE TABLE t (id int PRIMARY KEY, x longtext)",
        "INSERT INTO t SELECT seq, REPEAT(CHAR(97 + seq % 26), 200000) FROM seq_1_to_300",
    )
    source = market.source(table="t")
    found = source.discover(max_partitions=1)
    read = batches(source, found, found.partitions[0])
    assert max(batch.rows for batch in read) <= 128 + 16
    assert frame(read)["x"].str.len_bytes().sum() == 300 * 200_000


def test_bounds_are_pushed_down_and_rows_that_cannot_be_read_are_reported_all_the_same(market: Market) -> None:
    market.make(
        "CREATE TABLE t (id int PRIMARY KEY, d date NULL, at timestamp NULL, a varchar(9), x time)",
        "INSERT INTO t SELECT seq, DATE '2024-01-01' + INTERVAL seq DAY, FROM_UNIXTIME(seq * 86400), "
        "CONCAT('A', seq % 2), '10:00:00' FROM seq_1_to_100",
        "UPDATE t SET d = '0000-00-00' WHERE id = 90",
        "UPDATE t SET d = '2023-02-31' WHERE id = 91",
        "UPDATE t SET d = NULL WHERE id = 92",
        "UPDATE t SET x = '-25:00:00' WHERE id = 93",
    )
    source = market.source(table="t")
    found = source.discover(max_partitions=1)

    def read(*bounds: Bound, columns: frozenset[str] | None = None) -> tuple[list[int], list[int]]:
        wanted = Wanted(columns or frozenset(each.name for each in found.schema), bounds)
        got = list(source.read(found.partitions[0], found.schema, wanted=wanted))
        bad = pl.concat([batch.rejects for batch in got])["value"].to_list()
        return [n for batch in got for n in batch.frame["id"]], bad

    reported = ["0000-00-00", "2023-02-31", "-25:00:00"]
    assert read(Bound("id", "<=", 2)) == ([1, 2], reported)
    assert read(Bound("a", "=", "A1"), Bound("id", "<", 6)) == ([1, 3, 5], reported)
    assert read(Bound("id", "<=", 2), columns=frozenset(("id",))) == ([1, 2], [])
    counted = source.read(found.partitions[0], found.schema, wanted=Wanted(frozenset()))
    assert sum(batch.rows for batch in counted) == 100
    query = market.source(query="SELECT a FROM t")
    found_query = query.discover(max_partitions=1)
    read_query = list(query.read(found_query.partitions[0], found_query.schema, wanted=Wanted(frozenset())))
    assert [(batch.rows, batch.frame.columns) for batch in read_query] == [(100, [ROW])]
    assert read(Bound("d", "<", date(2024, 1, 4))) == ([1, 2], reported)
    assert read(Bound("at", "<=", datetime(1970, 1, 3, tzinfo=UTC))) == ([1, 2], reported)


@given(
    st.sampled_from(["bigint", "decimal", "double", "date", "datetime", "bytes", "text"]), st.data(), st.integers(1, 20)
)
def test_probes_are_values_of_their_type(kind: str, data: Any, count: int) -> None:
    values: dict[str, st.SearchStrategy[str]] = {
        "bigint": st.integers(-(2**63), 2**64).map(str),
        "decimal": st.decimals(allow_nan=False, allow_infinity=False, places=5).map(lambda each: f"{each:f}"),
        "double": st.floats(-1e300, 1e300).map(repr),
        "date": st.one_of(st.dates().map(str), st.just("0000-00-00")),
        "datetime": st.one_of(st.datetimes().map(lambda each: each.isoformat(" ")), st.just("2024-00-00 00:00:00")),
        "bytes": st.binary(max_size=20).map(bytes.hex),
        "text": st.text(max_size=20),
    }
    low, high = sorted([data.draw(values[kind]), data.draw(values[kind])])
    found = probes(kind, low, high, count)
    assert len(found) <= max(count, 300)
    assert len(set(found)) == len(found)
