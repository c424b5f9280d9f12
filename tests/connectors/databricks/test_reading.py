"""Ranges of a key in one version of a table; continuing after lost connections; unneeded columns and rows are not
read."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from headrace.connectors.databricks.names import parts, written
from headrace.connectors.errors import SourceError
from headrace.connectors.registry import config_problems
from headrace.connectors.source import Batch, Bound, Discovery, Partition, Restart, Wanted
from headrace.connectors.sql.source import SqlSource
from headrace.ir.schema import Field
from tests.connectors.databricks.double import Double

MADE = (
    "CREATE TABLE t AS SELECT i AS id, 'r' || i AS name, (i / 4)::DECIMAL(12, 2) AS price, "
    "TIMESTAMPTZ '2024-01-01 00:00:00+00' + INTERVAL 1 SECOND * i AS at FROM range(0, 1000) AS r(i)"
)


@pytest.fixture
def table(databricks: Double) -> Double:
    databricks.make(MADE)
    databricks.answerRows = 60
    return databricks


def batches(
    source: SqlSource, found: Discovery, partition: Partition, wanted: Wanted | None = None, **how: Any
) -> list[Batch]:
    carried = replace(partition, location=json.loads(json.dumps(partition.location)))
    return list(source.read(carried, found.schema, wanted=wanted, **how))


def rows(source: SqlSource, most: int = 1, wanted: Wanted | None = None) -> pl.DataFrame:
    found = source.discover(max_partitions=most)
    read = [batch.frame for each in found.partitions for batch in batches(source, found, each, wanted)]
    return pl.concat(read) if read else pl.DataFrame()


def reads(databricks: Double) -> list[str]:
    return [text for text in databricks.statements if text.startswith("SELECT 1 AS one")]


ALL = frozenset(("id", "at", "name", "price"))
KEYED: dict[str, Any] = {"table": "t", "key": ["id"], "partitioning": {"partitions": 4}}


def test_ranges_of_the_key_are_all_rows_once_of_one_version(table: Double) -> None:
    source = table.source(**KEYED)
    found = source.discover(max_partitions=4)
    assert (len(found.partitions), found.restart, found.total_rows) == (4, Restart.BOUNDARY, 1000)
    table.make("DELETE FROM t WHERE id > 10", "INSERT INTO t VALUES (5000, 'new', 1, NULL)")
    ids = [number for each in found.partitions for b in batches(source, found, each) for number in b.frame["id"]]
    assert sorted(ids) == list(range(1000))
    assert all("VERSION AS OF 1 AS src" in text for text in reads(table))


def test_reading_continues_after_every_batch(table: Double) -> None:
    source = table.source(**KEYED)
    found = source.discover(max_partitions=4)
    for partition in found.partitions[:2]:
        whole = batches(source, found, partition, Wanted(ALL, batch_rows=70))
        assert max(batch.rows for batch in whole) <= 70
        ids = [number for batch in whole for number in batch.frame["id"]]
        for batch in whole:
            after = batches(source, found, partition, rows_done=batch.rows_done, position=batch.position)
            assert [number for b in after for number in b.frame["id"]] == ids[batch.rows_done :]


def test_a_table_without_a_key_is_one_partition_that_begins_again(table: Double) -> None:
    found = table.source(table="t").discover(max_partitions=4)
    assert (len(found.partitions), found.restart) == (1, Restart.NONE)


def test_a_key_that_is_none_is_reported(databricks: Double) -> None:
    databricks.make("CREATE TABLE t AS SELECT 1 AS id FROM range(3)")
    with pytest.raises(SourceError) as refused:
        rows(databricks.source(table="t", key=["id"]))
    assert refused.value.code == "bad_key"


@pytest.mark.parametrize(
    ("bound", "where", "count"),
    [
        (Bound("id", ">", 900), "`id` > 900", 99),
        (Bound("price", "<=", Decimal("0.5")), "`price` <= 0.5BD", 3),
        (Bound("name", "=", "r1' OR 'a'='a\\"), "`name` = 'r1\\' OR \\'a\\'=\\'a\\\\'", 0),
    ],
)
def test_columns_and_rows_that_nobody_wants_are_not_read(table: Double, bound: Bound, where: str, count: int) -> None:
    read = rows(table.source(table="t"), wanted=Wanted(frozenset(("id", bound.column)), (bound,)))
    assert read.height == count
    [text] = reads(table)
    assert where in text
    assert "`at`" not in text


def test_a_row_that_cannot_be_read_is_reported_though_it_is_not_wanted(databricks: Double) -> None:
    databricks.make(
        "CREATE TABLE t (id INT, day DATE)",
        "INSERT INTO t VALUES (1, DATE '2024-01-01'), (2, DATE '10000-01-01'), (3, NULL)",
    )
    source = databricks.source(table="t")
    found = source.discover(max_partitions=1)
    wanted = Wanted(frozenset(("id", "day")), (Bound("id", ">", 2),))
    [batch] = batches(source, found, found.partitions[0], wanted)
    assert batch.frame["id"].to_list() == [3]
    assert [row[1:3] for row in batch.rejects.rows()] == [("day", "+10000-01-01")]


class TestQueries:
    def test_bound_values_and_columns(self, table: Double) -> None:
        asked = {"query": "SELECT id, name AS who FROM t WHERE id < :most AND name <> :no -- :not\n"}
        source = table.source(**asked, columns=["who"], parameters={"most": 3, "no": "r1' OR '1'='1"})
        assert sorted(rows(source)["who"]) == ["r0", "r1", "r2"]

    @pytest.mark.parametrize(
        "query",
        [
            *(
                "DELETE FROM t",
                "SELECT 1; SELECT 2",
                "INSERT INTO t SELECT 1",
                "MERGE INTO t USING s ON 1=1 WHEN MATCHED THEN DELETE",
            ),
            *("CREATE TABLE x AS SELECT 1", "COPY INTO t FROM 's3://b'", "USE CATALOG dev", "SHOW TABLES", "CALL f()"),
            *("EXECUTE IMMEDIATE 'DROP TABLE t'", "VACUUM t", "OPTIMIZE t", "SET x = 1", "GRANT SELECT ON t TO x"),
        ],
    )
    def test_a_query_only_reads(self, databricks: Double, query: str) -> None:
        with pytest.raises(SourceError) as refused:
            databricks.source(query=query)
        assert refused.value.code == "bad_query"
        assert databricks.seen == []

    def test_views(self, table: Double) -> None:
        table.make("CREATE VIEW v AS SELECT id FROM t WHERE id < 3")
        source = table.source(table="v", key=["id"], partitioning={"partitions": 2})
        found = source.discover(max_partitions=2)
        assert "gives no snapshot" in found.notes[0]
        assert sorted(rows(table.source(table="v"))["id"]) == [0, 1, 2]


class TestIncremental:
    def run(self, source: SqlSource, position: Any) -> tuple[list[Any], Any]:
        source.begin_at({} if position is None else {"default": position})
        found = source.discover(max_partitions=4)
        read: list[Any] = []
        for partition in found.partitions:
            for batch in batches(
                source, found, partition, Wanted(frozenset(("id", "at", "name", "price")), batch_rows=90)
            ):
                read += batch.frame["id"].to_list()
                position = json.loads(json.dumps(batch.position))
        return read, position

    @pytest.mark.parametrize("column", ["at", "id", "price", "name"])
    def test_every_run_reads_what_is_new(self, table: Double, column: str) -> None:
        source = table.source(table="t", cursor={"column": column, "key": ["id"]})
        read, position = self.run(source, None)
        assert sorted(read) == list(range(1000))
        assert self.run(source, position) == ([], position)
        table.make(
            "INSERT INTO t VALUES (1000, 'r999a', 250, TIMESTAMPTZ '2024-02-01 00:00:00+00'), "
            "(-1, 'a', -1, TIMESTAMPTZ '2023-01-01 00:00:00+00')"
        )
        assert self.run(source, position)[0] == [1000]

    def test_a_lag_and_an_initial_value(self, table: Double) -> None:
        source = table.source(table="t", cursor={"column": "id", "initial": 990, "lag": 5, "key": []})
        assert self.run(source, None)[0] == [990, 991, 992, 993, 994]
        assert self.run(table.source(table="t", cursor={"column": "at", "lag": "P10000D", "key": []}), None)[0] == []

    @pytest.mark.parametrize("cursor", [{"column": "tags"}, {"column": "flag"}])
    def test_columns_that_rows_cannot_be_read_on_by(self, databricks: Double, cursor: dict[str, Any]) -> None:
        databricks.make("CREATE TABLE t AS SELECT [1] AS tags, TRUE AS flag")
        with pytest.raises(SourceError) as refused:
            databricks.source(table="t", cursor={**cursor, "key": []}).discover(max_partitions=1)
        assert refused.value.code == "bad_option"


class TestWhatBreaks:
    def test_a_warehouse_that_goes_away_is_asked_again(self, table: Double) -> None:
        source = table.source(table="t", key=["id"])
        found = source.discover(max_partitions=1)
        wanted = Wanted(frozenset(("id",)), batch_rows=50)
        reading = source.read(found.partitions[0], found.schema, wanted=wanted)
        taken = [next(reading), next(reading)]
        table.failFetches = 1
        taken += list(reading)
        assert [number for batch in taken for number in batch.frame["id"]] == list(range(1000))
        assert "`id` > CAST('99' AS bigint)" in reads(table)[-1]

    def test_an_answer_that_is_cut_is_read_on_from(self, table: Double) -> None:
        source = table.source(table="t", key=["id"])
        found = source.discover(max_partitions=1)
        table.cutFetches = 1
        assert [n for batch in batches(source, found, found.partitions[0]) for n in batch.frame["id"]] == list(
            range(1000)
        )

    def test_what_goes_on_failing_is_reported(self, table: Double) -> None:
        source = table.source(table="t", key=["id"])
        found = source.discover(max_partitions=1)
        table.failFetches = 1000
        with pytest.raises(SourceError, match="the warehouse went away") as refused:
            batches(source, found, found.partitions[0])
        assert refused.value.code == "connection_lost"

    def test_sessions_are_ended(self, table: Double) -> None:
        rows(table.source(**KEYED), most=4)
        assert table._sessions == set()
        assert table._results == {}


def test_columns_that_are_declared_are_read_as_that(table: Double) -> None:
    source = table.source((Field("ID", "text"), Field("price", "decimal", 10, 1)), table="t")
    read = rows(source).sort("price")
    assert (read["ID"][3], read["price"][3]) == ("3", Decimal("0.8"))


def test_a_sample(table: Double) -> None:
    assert table.source(table="t").sample(5).height == 5


def test_names(databricks: Double) -> None:
    databricks.make('CREATE TABLE "a b" AS SELECT 1 AS id')
    for name in ('"a b"', "sales.a b", "`dev`.`sales`.`a b`", 'dev.sales."a b"'):
        assert rows(databricks.source(table=name))["id"].to_list() == [1]
    for text, name in (  # type: ignore[assignment]
        ("a.b.c", ("a", "b", "c")),
        ("`a.b`.c", None),
        *((wrong, None) for wrong in ("a.b.c.d", "", "a`b")),
    ):
        assert parts(text) == name, text
    assert parts(written(("main", "a b", "c"))) == ("main", "a b", "c")


def test_its_config_is_evaluated_when_it_is_saved() -> None:
    for config, paths in (
        ({"table": "a.b.c"}, []),
        ({"query": "DELETE FROM t"}, ["config.query"]),
        ({"query": "SELECT * FROM t WHERE x = :y", "parameters": {"y": 1}}, []),
    ):
        assert [each.path for each in config_problems("databricks", config)] == paths, config  # type: ignore[arg-type]
