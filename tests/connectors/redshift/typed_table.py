"""A table with each value of a type, and the comparison of the values read from it."""

from __future__ import annotations

import math
from typing import Any

import psycopg

from tests.connectors.reading import batches
from tests.connectors.redshift.cluster import Cluster
from tests.connectors.redshift.values import ERROR, VALUES


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
    """Every value is as expected, and unsupported values are rejected with their row."""
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
