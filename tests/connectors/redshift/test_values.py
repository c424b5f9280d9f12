"""Every type, value by value: selected, and unloaded."""

from __future__ import annotations

import math
from typing import Any

import psycopg
import pytest

from headrace.ir.schema import Field
from tests.connectors.reading import batches, rejects, rows
from tests.connectors.redshift.cluster import Cluster
from tests.connectors.redshift.values import ERROR, VALUES

pytestmark = pytest.mark.postgres


def filled(cluster: Cluster, kind: str) -> list[tuple[str, Any]]:
    """A table of the type with each value, and null."""
    cluster.make(f"CREATE TABLE t (n int, v {kind}, z varchar(9))")
    options = "-csearch_path=shop,public -ctimezone=UTC"
    with psycopg.connect(cluster.owner, autocommit=True, options=options) as connection:
        for number, (text, _) in enumerate(VALUES[kind], 1):
            cast = f"%s::text::{kind}" if kind not in ("super", "varbyte", "geometry", "hllsketch") else f"%s::{kind}"
            connection.execute(f"INSERT INTO t VALUES (%s, {cast}, '')".encode(), (number, text))
        connection.execute("INSERT INTO t VALUES (0, NULL, NULL)")
    return VALUES[kind]


def same(value: Any, expected: Any) -> bool:
    if isinstance(expected, float) and isinstance(value, float):
        return value == expected and math.copysign(1, value) == math.copysign(1, expected)
    return type(value) is type(expected) and bool(value == expected)


def read_as_expected(cluster: Cluster, values: list[tuple[str, Any]], **settings: Any) -> None:
    """Every value as it is expected, and those that have no place told with the row."""
    source = cluster.source(table="t", **settings)
    found = source.discover(max_partitions=1)
    [batch] = batches(source, found, found.partitions[0])
    good = {number: value for number, (_, value) in enumerate(values, 1) if value is not ERROR}
    read = {number: (value, z) for number, value, z, _ in batch.frame.rows()}
    assert read.pop(0) == (None, None)
    assert read.keys() == good.keys()
    assert [number for number, value in good.items() if not same(read[number][0], value)] == []
    assert {z for _, z in read.values()} <= {""}
    with psycopg.connect(cluster.owner, options="-csearch_path=shop -ctimezone=UTC") as connection:
        written = connection.execute("SELECT n, v::text FROM t ORDER BY n").fetchall()
    expected = [text for number, text in written if number and number not in good]
    assert sorted((column, value, rule) for _, column, value, _, rule in batch.rejects.rows()) == sorted(
        ("v", text, "type") for text in expected
    )
    if "v" in found.sure:
        assert not expected


@pytest.mark.parametrize("kind", VALUES)
def test_each_value_that_is_selected_arrives_exactly_or_as_an_error(small_cluster: Cluster, kind: str) -> None:
    read_as_expected(small_cluster, filled(small_cluster, kind))


def test_anything_can_be_declared_text_and_arrives_as_the_server_writes_it(small_cluster: Cluster) -> None:
    for kind, written in [("numeric(12,2)", "0.10"), ("date", "0044-03-15 BC"), ("boolean", "t"), ("real", "0.1")]:
        small_cluster.make("DROP TABLE IF EXISTS t")
        filled(small_cluster, kind)
        source = small_cluster.source((Field("v", "text"),), table="t")
        assert "v" in source.discover(max_partitions=1).sure
        assert (written,) in rows(source)
        assert rejects(source) == []


def test_a_numeric_of_a_query_without_a_size_is_not_taken_for_exact(small_cluster: Cluster) -> None:
    small_cluster.make("CREATE TABLE t AS SELECT 1.5::numeric AS a UNION ALL SELECT 1e-30::numeric")
    source = small_cluster.source(query="SELECT a FROM shop.t")
    assert source.discover(max_partitions=1).sure == frozenset()
    assert [row[1:3] for row in rejects(source)] == [("a", "0.000000000000000000000000000001")]
