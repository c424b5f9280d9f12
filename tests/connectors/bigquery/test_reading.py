"""The streams of one session are partitions, which any process reads from any row on."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import pytest

from headrace.connectors.bigquery.names import parts, written
from headrace.connectors.errors import SourceError
from headrace.connectors.registry import config_problems
from headrace.connectors.source import Bound, Discovery, Narrowing, Restart, Wanted
from headrace.deployments.stack.environment import base_environment
from headrace.ir.schema import Field
from tests.connectors.bigquery.double import Double
from tests.connectors.reading import batches, frame, rows

MADE = (
    "CREATE TABLE t (id INT64, name STRING, price NUMERIC)",
    "INSERT INTO t SELECT n, CONCAT('r', CAST(n AS STRING)), CAST(n AS NUMERIC) / 4 "
    "FROM UNNEST(GENERATE_ARRAY(0, 999)) AS n",
)


@pytest.fixture
def table(bigquery: Double) -> Double:
    bigquery.make(*MADE)
    bigquery.control(streams=7, responseRows=50)
    return bigquery


@pytest.mark.parametrize("most", [1, 3, 50])
def test_the_partitions_are_all_rows_once(table: Double, most: int) -> None:
    source = table.source(table="t")
    found = source.discover(max_partitions=most)
    assert len(found.partitions) == min(most, 7)
    assert (found.restart, found.total_rows, found.fingerprint) == (Restart.EXACT, 1000, None)
    ids: list[int] = []
    for partition in found.partitions:
        read = frame(batches(source, found, partition))
        assert read["__row"].to_list() == list(range(partition.first_row, partition.first_row + read.height))
        ids += read["id"].to_list()
    assert sorted(ids) == list(range(1000))
    assert table.sessions()[-1]["streams"] == most


@pytest.mark.parametrize("batch_rows", [None, 64, 7])
def test_reading_continues_after_every_batch_with_the_same_rows(table: Double, batch_rows: int | None) -> None:
    source = table.source(table="t")
    found = source.discover(max_partitions=2)
    for partition in found.partitions:
        whole = batches(source, found, partition, batch_rows=batch_rows)
        assert max(batch.rows for batch in whole) <= (batch_rows or 500)
        all_rows = frame(whole).rows()
        for batch in [*whole[:: max(1, len(whole) // 4)], whole[-1]]:
            after = batches(
                table.source(table="t"), found, partition, rows_done=batch.rows_done, position=batch.position
            )
            assert (frame(after).rows() if after else []) == all_rows[batch.rows_done :]


def test_small_pieces_are_read_as_one_batch(table: Double) -> None:
    source = table.source(table="t")
    found = source.discover(max_partitions=1)
    assert [batch.rows for batch in batches(source, found, found.partitions[0])] == [1000]
    assert [batch.rows for batch in batches(source, found, found.partitions[0], batch_rows=120)] == [100] * 10


def test_another_process_reads_a_stream_of_the_session(table: Double) -> None:
    source = table.source(table="t")
    found = source.discover(max_partitions=3)
    expected = sum(frame(batches(source, found, found.partitions[1]))["id"])
    program = f"""
import json, sys
from tests.connectors.bigquery.double import Double, _key
from headrace.connectors.bigquery.connector import BIGQUERY
from headrace.connectors.connector import Connection, Context
from headrace.connectors.source import Partition
from headrace.ir.schema import Field
given = json.loads(sys.stdin.read())
double = Double({table.port}, {table.grpc_port})
context = double.context({{"table": "t"}}, credentials=given["credentials"])
source = double.opened(context)
read = source.read(Partition(**given["partition"]), tuple(Field(**each) for each in given["schema"]))
print(sum(value for batch in read for value in batch.frame["id"]))
double.close()
"""
    given = {
        "schema": [asdict(each) for each in found.schema],
        "partition": asdict(found.partitions[1]),
        "credentials": table.credentials,
    }
    ran = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(given),
        env=base_environment() | {"PYTHONPATH": ":".join(sys.path), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert int(ran.stdout) == expected
    assert len(table.sessions()) == 1


def test_what_changes_meanwhile_is_not_seen(table: Double) -> None:
    source = table.source(table="t")
    found = source.discover(max_partitions=2)
    table.make("DELETE FROM t WHERE TRUE")
    read = [batch for partition in found.partitions for batch in batches(source, found, partition)]
    assert frame(read).height == 1000


def test_a_table_without_rows_has_no_partitions(bigquery: Double) -> None:
    bigquery.make("CREATE TABLE t (id INT64)")
    found = bigquery.source(table="t").discover(max_partitions=4)
    assert (list(found.partitions), found.total_rows, [field.name for field in found.schema]) == ([], 0, ["id"])


class TestNarrowing:
    """What a plan has no use for is not read."""

    def narrowed(self, table: Double, wanted: Wanted, **settings: Any) -> tuple[Any, Discovery]:
        source = table.source(table="t", **settings)
        assert isinstance(source, Narrowing)
        return source, source.narrowed(source.discover(max_partitions=3), wanted)

    @pytest.mark.parametrize(
        ("bound", "where", "count"),
        [
            (Bound("id", ">", 900), "`id` > 900", 99),
            (Bound("id", "<=", Decimal("2.5")), "`id` <= BIGNUMERIC '2.5'", 3),
            (Bound("price", "=", Decimal("2.25")), "`price` = BIGNUMERIC '2.25'", 1),
            (Bound("name", "=", "r1' OR 'a'='a"), "`name` = 'r1\\' OR \\'a\\'=\\'a'", 0),
        ],
    )
    def test_columns_and_rows(self, table: Double, bound: Bound, where: str, count: int) -> None:
        source, found = self.narrowed(table, Wanted(frozenset(("id", bound.column)), (bound,)))
        session = table.sessions()[-1]
        assert session["fields"] == [name for name in ("id", "name", "price") if name in ("id", bound.column)]
        assert session["where"] == where
        read = [batch for partition in found.partitions for batch in batches(source, found, partition, columns=("id",))]
        assert sum(batch.rows for batch in read) == count

    def test_of_a_query_the_result_is_narrowed(self, table: Double) -> None:
        source = table.source(query="SELECT id, name FROM t")
        found = source.narrowed(source.discover(max_partitions=1), Wanted(frozenset(("id",)), (Bound("id", "<", 5),)))
        assert len(table.info()["statements"]) == len(MADE) + 1
        assert "anon" in table.sessions()[-1]["table"]
        [partition] = found.partitions
        assert sorted(frame(batches(source, found, partition, columns=("id",)))["id"]) == [0, 1, 2, 3, 4]

    def test_a_plan_that_wants_all_of_it_keeps_the_session(self, table: Double) -> None:
        _, _ = self.narrowed(table, Wanted(frozenset(("id", "name", "price"))))
        assert len(table.sessions()) == 1

    def test_rows_that_cannot_be_read_would_be_reported_so_none_is_left_out(self, table: Double) -> None:
        source = table.source((Field("id", "smallint"), Field("name", "integer")), table="t")
        wanted = Wanted(frozenset(("id", "name")), (Bound("id", "<", 5),))
        source.narrowed(source.discover(max_partitions=1), wanted)
        assert table.sessions()[-1]["where"] == ""

    def test_a_column_that_was_not_selected_is_no_null(self, table: Double) -> None:
        source, found = self.narrowed(table, Wanted(frozenset(("id",))))
        with pytest.raises(SourceError, match="no column 'name'") as refused:
            batches(source, found, found.partitions[0], columns=("name",))
        assert refused.value.code == "not_selected"


class TestQueries:
    def test_bound_values_columns_and_a_limit_of_billed_bytes(self, table: Double) -> None:
        asked = {"query": "SELECT id, name AS who FROM t WHERE id < :most AND name <> :no -- :not\n"}
        source = table.source(**asked, columns=["who"], parameters={"most": 3, "no": "r1' OR '1'='1"})
        assert sorted(rows(source)) == [("r0",), ("r1",), ("r2",)]
        table.control(billedBytes=10_000)
        limited = table.source(query="SELECT 1 AS x", maximumBytesBilled=9_999)
        with pytest.raises(SourceError, match="9999") as refused:
            limited.discover(max_partitions=1)
        assert (refused.value.code, "maximumBytesBilled" in refused.value.hint) == ("too_many_bytes", True)
        assert rows(table.source(query="SELECT 1 AS x", maximumBytesBilled=10_000)) == [(1,)]

    def test_views_are_read_by_a_query(self, table: Double) -> None:
        table.make("CREATE VIEW v AS SELECT id, name FROM sales.t WHERE id < 3")
        assert sorted(rows(table.source(table="v", columns=["id"]))) == [(0,), (1,), (2,)]
        assert table.info()["statements"][-1] == "SELECT `id` AS `id` FROM `acme`.`sales`.`v` AS src"

    @pytest.mark.parametrize(
        "query",
        [
            *("DELETE FROM t WHERE TRUE", "SELECT 1; SELECT 2", "CALL do_it()", "DECLARE x INT64; SELECT 1"),
            *("EXECUTE IMMEDIATE 'DROP TABLE t'", "EXPORT DATA OPTIONS(uri='gs://b/*') AS SELECT 1"),
            *("LOAD DATA INTO t FROM FILES(uris=['gs://b/*'])", "BEGIN SELECT 1; END", "CREATE TABLE x AS SELECT 1"),
            *("CREATE TEMP FUNCTION f() AS (1); SELECT f()", "MERGE t USING s ON TRUE WHEN MATCHED THEN DELETE"),
            *("GRANT `roles/owner` ON SCHEMA sales TO 'user:x'", "TRUNCATE TABLE t", "ASSERT TRUE"),
        ],
    )
    def test_a_query_only_reads(self, bigquery: Double, query: str) -> None:
        with pytest.raises(SourceError) as refused:
            bigquery.source(query=query)
        assert refused.value.code == "bad_query"
        assert bigquery.info()["seen"] == []

    def test_what_bigquery_takes_for_another_statement_is_not_executed(
        self, bigquery: Double, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bigquery.make("CREATE TABLE t (id INT64)")
        source = bigquery.source(query="SELECT 1 AS x")
        source._query = type(source._query)(("DROP TABLE t",), ())  # type: ignore[misc]
        with pytest.raises(SourceError) as refused:
            source.discover(max_partitions=1)
        assert refused.value.code == "bad_query"
        assert rows(bigquery.source(table="t")) == []

    def test_a_column_twice(self, bigquery: Double) -> None:
        with pytest.raises(SourceError) as refused:
            bigquery.source(query="SELECT 1 AS x, 2 AS X").discover(max_partitions=1)
        assert refused.value.code in ("bad_query", "query_failed")


def test_columns_that_are_declared_are_read_as_that(table: Double) -> None:
    source = table.source((Field("ID", "text"), Field("price", "decimal", 10, 2)), table="t")
    found = source.discover(max_partitions=1)
    assert [(field.name, field.data_type) for field in found.schema] == [("ID", "text"), ("price", "decimal")]
    assert sorted(rows(source))[1] == ("1", Decimal("0.25"))


def test_a_sample_reads_no_more_than_it_needs(table: Double) -> None:
    assert table.source(table="t").sample(5).height == 5
    assert len(table.info()["statements"]) == len(MADE)
    assert table.source(query="SELECT id FROM t").sample(5).height == 5


class TestWhatBreaks:
    @pytest.mark.parametrize("status", ["UNAVAILABLE", "INTERNAL", "ABORTED", "UNKNOWN"])
    def test_a_stream_that_is_cut_goes_on_where_it_was(self, table: Double, status: str) -> None:
        source = table.source(table="t")
        found = source.discover(max_partitions=1)
        table.control(cuts=2, cutAfter=3, cutStatus=status)
        read = batches(source, found, found.partitions[0], batch_rows=50)
        assert frame(read)["id"].sort().to_list() == list(range(1000))
        assert table.reads() == [("0", 0), ("0", 150), ("0", 300)]

    def test_what_goes_on_failing_is_reported(self, table: Double) -> None:
        source = table.source(table="t")
        found = source.discover(max_partitions=1)
        table.control(cuts=1000, cutAfter=0)
        with pytest.raises(SourceError, match="the stream was cut") as refused:
            batches(source, found, found.partitions[0])
        assert refused.value.code == "connection_lost"

    def test_a_session_that_expired_says_what_to_do(self, table: Double) -> None:
        source = table.source(table="t")
        found = source.discover(max_partitions=1)
        table.control(expired=True)
        with pytest.raises(SourceError, match="keeps one for some hours") as refused:
            batches(source, found, found.partitions[0])
        assert (refused.value.code, "Start a new run" in refused.value.hint) == ("session_expired", True)

    def test_a_request_that_fails_for_a_while_is_sent_again(self, table: Double) -> None:
        table.control(failRest=2)
        assert len(rows(table.source(query="SELECT id FROM t"))) == 1000
        table.control(failRest=100)
        with pytest.raises(SourceError) as refused:
            table.source(table="t").discover(max_partitions=1)
        assert refused.value.code == "connection_lost"


def test_names(bigquery: Double) -> None:
    bigquery.make("CREATE TABLE plain AS SELECT 1 AS id")
    for name in ("plain", "sales.plain", "acme.sales.plain", "`acme.sales.plain`", "`sales`.plain", '"sales".plain'):
        assert rows(bigquery.source(table=name)) == [(1,)]
    for text, name in (  # type: ignore[assignment]
        ("my-project.ds.t", ("my-project", "ds", "t")),
        ("example.com:proj.ds.t 1", ("example.com:proj", "ds", "t 1")),
        ("ds.Ünï", ("ds", "Ünï")),
        *((wrong, None) for wrong in ("events_*", "t$20240101", "t@-1", "a.b.c.d", "", "a/b.t", "d s.t", "t`; DROP")),
    ):
        assert parts(text) == name, text
        if name is not None:
            assert parts(written(name)) == tuple(name)


@pytest.mark.slow
def test_memory_is_that_of_a_batch(bigquery: Double) -> None:
    """A stream of about 150 MB: what a read holds does not grow with it."""
    bigquery.control(responseRows=5_000)
    bigquery.make(
        "CREATE TABLE t AS SELECT n AS id, CONCAT(REPEAT('x', 180), CAST(n AS STRING)) AS name "
        "FROM UNNEST(GENERATE_ARRAY(1, 800000)) AS n"
    )
    program = f"""
import json, resource, sys
from tests.connectors.bigquery.double import Double
double = Double({bigquery.port}, {bigquery.grpc_port})
source = double.opened(double.context({{"table": "t"}}, credentials=json.loads(sys.stdin.read())))
found = source.discover(max_partitions=1)
peaks, count = [], 0
for batch in source.read(found.partitions[0], found.schema):
    count += batch.rows
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
double.close()
print(count, peaks[len(peaks) // 4], peaks[-1])
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(bigquery.credentials),
        env=base_environment() | {"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=170,
    )
    count, early, late = (int(each) for each in ran.stdout.split())
    assert count == 800_000
    assert late - early < 60, f"{early} MiB after a quarter, {late} MiB at the end"


def test_its_config_is_evaluated_when_it_is_saved() -> None:
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"table": "a.b.c"}, []),
        ({"table": "`a-b.b.c`", "maximumBytesBilled": 10**12}, []),
        ({"table": "{{name}}", "maximumBytesBilled": "{{bytes}}"}, []),
        ({}, ["config"]),
        ({"table": "events_*"}, ["config.table"]),
        ({"table": "t", "maximumBytesBilled": 0}, ["config.maximumBytesBilled"]),
        ({"query": "DELETE FROM t"}, ["config.query"]),
        ({"table": "t", "partitioning": {"by": "ctid"}}, ["config.partitioning.by"]),
        ({"table": "t", "partitioning": {"column": "id"}}, ["config.partitioning.column"]),
        ({"table": "t", "partitioning": {"partitions": 3}}, []),
    ]
    for config, paths in cases:
        assert [each.path for each in config_problems("bigquery", config)] == paths, config
