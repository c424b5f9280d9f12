"""Partitions are together the whole, can be read on from every batch, and see one snapshot."""

from __future__ import annotations

import threading
from typing import Any

import polars as pl
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.connectors.errors import SourceError
from headrace.connectors.source import ROW, Restart, numbered_from
from headrace.connectors.sql.source import SqlSource
from headrace.ir.schema import Field
from tests.connectors.reading import batches, frame, rows
from tests.connectors.sql.postgresql.shop import Shop

pytestmark = pytest.mark.postgres

KEYS = {
    "smallint": "(i % 30000)::int2",
    "integer": "(i * 7 % 1000003)",
    "bigint": "(i * 1000003::bigint)",
    "numeric(20,5)": "(i * 1.00001)",
    "uuid": "md5(i::text)::uuid",
    "text": "'k' || md5(i::text) || chr(9) || chr(92) || chr(10)",
    'text COLLATE "C"': "md5(i::text)",
    "date": "date '2000-01-01' + i",
    "timestamp": "timestamp '2000-01-01' + i * interval '1.234567 s'",
    "timestamptz": "timestamptz '2000-01-01' - i * interval '1 min'",
    "bytea": "decode(md5(i::text), 'hex')",
    "double precision": "i * 0.1",
}


def table(shop: Shop, kind: str = "bigint", count: int = 2000, *, analyze: bool = True) -> None:
    made = KEYS[kind]
    shop.make(
        f"CREATE TABLE t (id {kind} PRIMARY KEY, n int)",
        f"INSERT INTO t SELECT {made}, i FROM generate_series(1, {count}) AS i",
        "ANALYZE t" if analyze else "SELECT 1",
    )


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("analyze", [True, False])
@pytest.mark.first_variant
def test_ranges_of_a_key_are_together_all_rows(shop: Shop, kind: str, analyze: bool) -> None:
    table(shop, kind, analyze=analyze)
    source = shop.source(table="shop.t", partitioning={"partitions": 4})
    found = source.discover(max_partitions=8)
    assert (len(found.partitions), found.restart, found.counted) == (4, Restart.BOUNDARY, False)
    assert [each.first_row for each in found.partitions] == [numbered_from(index) for index in range(4)]
    assert [each.label for each in found.partitions][:2] == ["shop.t [1/4]", "shop.t [2/4]"]
    parts = [frame(batches(source, found, each))["n"].to_list() for each in found.partitions]
    assert sorted(n for part in parts for n in part) == list(range(1, 2001))
    assert max(map(len, parts)) < 1000  # about a quarter each
    source.close()


@pytest.mark.parametrize("kind", KEYS)
def test_reading_goes_on_from_every_batch(shop: Shop, kind: str) -> None:
    table(shop, kind, 200)
    source = shop.source(table="shop.t")
    found = source.discover(max_partitions=1)
    [partition] = found.partitions
    whole = batches(source, found, partition, batch_rows=70)
    assert [batch.rows for batch in whole] == [70, 70, 60]
    assert frame(whole)[ROW].to_list() == list(range(1, 201))
    for place, batch in enumerate(whole):
        # the key is not wanted, and is read all the same
        rest = batches(
            source, found, partition, position=batch.position, rows_done=batch.rows_done, columns=("n",), batch_rows=70
        )
        assert all(each.frame.columns == ["n", ROW] for each in rest)
        expected = frame(whole[place + 1 :])["n"].to_list() if place < 2 else []
        assert [n for each in rest for n in each.frame["n"]] == expected
        assert [number for each in rest for number in each.frame[ROW]] == list(range(batch.rows_done + 1, 201))


def test_a_key_of_several_columns_is_cut_by_its_first(shop: Shop) -> None:
    shop.make(
        "CREATE TABLE t (tenant int, id text, n int, PRIMARY KEY (tenant, id))",
        "INSERT INTO t SELECT i % 5, 'x' || i, i FROM generate_series(1, 1000) i",
        "ANALYZE t",
    )
    source = shop.source(table="shop.t", partitioning={"partitions": 3})
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
    source.close()


def test_a_column_that_is_named_is_cut_with_its_nulls_once(shop: Shop) -> None:
    shop.make(
        "CREATE TABLE t (id int PRIMARY KEY, city text)",
        "INSERT INTO t SELECT i, CASE WHEN i % 3 = 0 THEN NULL ELSE 'c' || i % 40 END FROM generate_series(1, 900) i",
        "ANALYZE t",
    )
    source = shop.source(table="shop.t", partitioning={"by": "key", "column": "city", "partitions": 4})
    found = source.discover(max_partitions=4)
    assert len(found.partitions) == 4
    assert sorted(rows(source, most=4)) == shop.rows("SELECT id, city FROM t ORDER BY id")
    source.close()


def test_without_a_key_pages_are_read_and_nothing_can_be_read_on(shop: Shop) -> None:
    shop.make("CREATE TABLE t AS SELECT i, repeat('x', 100) AS x FROM generate_series(1, 5000) i", "VACUUM ANALYZE t")
    source = shop.source(table="shop.t", partitioning={"partitions": 4})
    found = source.discover(max_partitions=4)
    assert (len(found.partitions), found.restart) == (4, Restart.NONE)
    read = [frame(batches(source, found, each)) for each in found.partitions]
    assert sorted(pl.concat(read)["i"].to_list()) == list(range(1, 5001))
    assert all(1000 < each.height < 1500 for each in read)
    source.close()


def test_parts_of_a_partitioned_table_are_read_by_pages_too(shop: Shop) -> None:
    shop.make(
        "CREATE TABLE t (i int, x text) PARTITION BY RANGE (i)",
        "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (1000)",
        "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (1000) TO (100000)",
        "INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 5000) i",
        "ANALYZE t",
    )
    for by in ("auto", "none"):
        source = shop.source(table="shop.t", partitioning={"by": by, "partitions": 3})
        assert sorted(row[0] for row in rows(source, most=3)) == list(range(1, 5001))
        source.close()


def test_small_tables_and_those_that_shall_not_be_split_are_one_partition(shop: Shop) -> None:
    table(shop, count=100)
    assert len(shop.source(table="shop.t").discover(max_partitions=8).partitions) == 1
    by_none = shop.source(table="shop.t", partitioning={"by": "none", "partitions": 8})
    assert len(by_none.discover(max_partitions=8).partitions) == 1
    shop.make("CREATE TABLE nothing (id int PRIMARY KEY)")
    source = shop.source(table="shop.nothing", partitioning={"partitions": 8})
    assert len(source.discover(max_partitions=8).partitions) == 1
    assert rows(source) == []
    assert source.sample(5).columns == ["id", ROW]


def test_a_query_is_one_partition_and_a_key_lets_it_be_read_on(shop: Shop) -> None:
    table(shop)
    text = "SELECT id, n * 2 AS twice FROM shop.t WHERE n <= :most AND 'a''b\\' <> :text -- all of them"
    given = {"most": 100, "text": "it's \\ :most"}
    source = shop.source(query=text, parameters=given)
    found = source.discover(max_partitions=8)
    assert ([each.label for each in found.partitions], found.restart) == (["query"], Restart.NONE)
    assert sorted(twice for _, twice in rows(source)) == list(range(2, 201, 2))
    keyed = shop.source(query=text, parameters=given, key=["id"])
    found = keyed.discover(max_partitions=8)
    assert found.restart is Restart.BOUNDARY
    first = batches(keyed, found, found.partitions[0], batch_rows=30)[0]
    rest = batches(keyed, found, found.partitions[0], position=first.position, rows_done=30)
    assert sorted([*first.frame["twice"], *frame(rest)["twice"]]) == list(range(2, 201, 2))
    for other in ("VALUES (1, 'a')", "TABLE shop.t", "WITH x AS (SELECT 1 AS a) SELECT * FROM x;"):
        assert rows(shop.source(query=other))


@pytest.mark.parametrize(
    ("query", "reported"),
    [
        ("SELECT 1, 2", "no name"),
        ("SELECT 1 AS a, 2 AS a", "twice"),
        ("SELECT nextval('shop.s') AS a", "writes"),
        ("SELECT * FROM shop.nowhere", "nowhere"),
        ("SELECT x FROM shop.t", "x"),
        ("SELECT id / 0 AS a FROM shop.t", "division by zero"),
    ],
)
def test_queries_that_cannot_be_read_say_why(shop: Shop, query: str, reported: str) -> None:
    shop.make("CREATE SEQUENCE s", "GRANT USAGE ON SEQUENCE s TO reader", "CREATE TABLE t AS SELECT 1 AS id")
    with pytest.raises(SourceError, match=reported):
        rows(shop.source(query=query))


@pytest.mark.parametrize(("key", "reported"), [("city", "same key"), ("n", "null in some rows")])
def test_a_key_that_is_none_is_reported_before_anything_is_lost(shop: Shop, key: str, reported: str) -> None:
    shop.make(
        "CREATE TABLE base AS SELECT i, nullif(i, 50) AS n, 'c' || i % 10 AS city FROM generate_series(1, 100) i",
        "CREATE VIEW v AS SELECT * FROM base",
    )
    source = shop.source(table="shop.v", key=[key])
    with pytest.raises(SourceError, match=reported) as refused:
        rows(source, batch_rows=7)
    assert refused.value.code == "bad_key"


def test_all_partitions_see_one_snapshot_and_say_so_when_it_is_gone(shop: Shop) -> None:
    table(shop)
    source = shop.source(table="shop.t", partitioning={"partitions": 4})
    found = source.discover(max_partitions=4)
    shop.make("UPDATE t SET n = -n", "DELETE FROM t WHERE id % 2 = 0", "INSERT INTO t VALUES (-1, 0)")
    other = shop.source(table="shop.t", partitioning={"partitions": 4})  # as in another process
    read = [n for each in found.partitions for n in frame(batches(other, found, each))["n"]]
    assert sorted(read) == list(range(1, 2001))
    assert other.note is None
    source.close()
    now = [n for each in found.partitions for n in frame(batches(other, found, each))["n"]]
    assert sorted(now) == sorted(n for (n,) in shop.rows("SELECT n FROM t"))
    assert other.note is not None
    assert "gone" in other.note


def test_partitions_are_read_by_several_threads_at_once(shop: Shop) -> None:
    table(shop, count=20_000)
    source = shop.source(table="shop.t", partitioning={"partitions": 4})
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
    source.close()


def test_columns_and_declared_fields_say_what_is_read(shop: Shop) -> None:
    shop.make('CREATE TABLE t (id int PRIMARY KEY, "Amount" numeric(10,4), at timestamptz)')
    shop.make("INSERT INTO t VALUES (1, 12.3456, '2024-01-31 10:00:00.5+02')")
    assert rows(shop.source(table="shop.t", columns=["at", "id"])) == shop.rows("SELECT at, id FROM t")
    declared = (Field("amount", "text"), Field("id", "decimal", 12, 2), Field("at", "text"))
    source = shop.source(declared, table="shop.t")
    assert source.discover(max_partitions=1).schema == declared
    [(amount, number, at)] = rows(source)
    assert (amount, str(number), at) == ("12.3456", "1.00", "2024-01-31 08:00:00.5+00")
    with pytest.raises(SourceError, match="Did you mean 'Amount'"):
        shop.source(table="shop.t", columns=["amuont"]).discover(max_partitions=1)


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
TRAPS = st.sampled_from(
    ["", "\\N", "\\", "\\\\n", "\\.", "\n", "\r\n", "\t", '"', '""', "\ufeffx", "NULL", ",", "\x0b"]
)


@given(st.lists(st.tuples(st.one_of(st.none(), TEXTS, TRAPS), st.one_of(st.none(), TEXTS, TRAPS)), max_size=20))
@settings(max_examples=60)
def test_every_text_arrives_as_it_is(reader: SqlSource, source_url: str, texts: list[tuple[Any, Any]]) -> None:
    with psycopg.connect(source_url, autocommit=True) as connection:
        connection.execute("TRUNCATE shop.texts")
        connection.cursor().executemany(
            "INSERT INTO shop.texts VALUES (%s, %s, %s)", [(a, b, n) for n, (a, b) in enumerate(texts)]
        )
    assert rows(reader) == [(a, b, n) for n, (a, b) in enumerate(texts)]
    assert rows(reader, columns=("a",)) == [(a,) for a, _ in texts]


@pytest.fixture(scope="module")
def source_url(server: Any) -> str:
    running, port = server
    url = f"{running.url('source')}&port={port}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS shop CASCADE")
        connection.execute("CREATE SCHEMA shop")
        connection.execute("GRANT USAGE ON SCHEMA shop TO reader")
        connection.execute("CREATE TABLE shop.texts (a text, b text, n int PRIMARY KEY)")
        connection.execute("GRANT SELECT ON shop.texts TO reader")
    return url


@pytest.fixture(scope="module")
def reader(server: Any, source_url: str) -> SqlSource:
    del source_url
    _, port = server
    shop = Shop(port, "", {"host": "localhost", "port": port, "database": "source"})
    return shop.source(table="shop.texts")
