"""A query runs once; the batches of its result are partitions, which any process reads from any row on."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.snowflake.names import parts, written
from headrace.connectors.source import Bound, Restart, Wanted
from headrace.deployments.stack.environment import base_environment
from tests.connectors.reading import batches, frame, rows
from tests.connectors.snowflake.double import Double

MADE = "CREATE TABLE t AS SELECT seq4() AS id, 'r' || seq4() AS name FROM TABLE(GENERATOR(ROWCOUNT => 1000))"


@pytest.fixture
def table(account: Double) -> Double:
    account.control(chunkRows=150)
    account.make(MADE)
    return account


def queries(account: Double) -> list[str]:
    return [text for text in account.info()["statements"] if 'FROM "ANALYTICS"."PUBLIC"."T"' in text]


@pytest.mark.parametrize("most", [1, 2, 3, 7, 50])
def test_the_partitions_are_all_rows_once_and_know_how_many_they_have(table: Double, most: int) -> None:
    source = table.source(table="t")
    found = source.discover(max_partitions=most)
    assert len(found.partitions) == min(most, 7)
    assert (found.restart, found.total_rows, found.fingerprint) == (Restart.EXACT, 1000, None)
    next_row, ids = 1, []
    for partition in found.partitions:
        assert partition.counted
        assert partition.first_row == next_row
        read = batches(source, found, partition)
        assert sum(batch.rows for batch in read) == partition.rows
        assert frame(read)["__row"].to_list() == list(range(next_row, next_row + partition.rows))
        ids += frame(read)["ID"].to_list()
        next_row += partition.rows
    assert sorted(ids) == list(range(1000))
    assert len(queries(table)) == 1


@pytest.mark.parametrize("batch_rows", [None, 1000, 64, 7])
def test_reading_continues_after_every_batch_with_the_same_rows(table: Double, batch_rows: int | None) -> None:
    source = table.source(table="t")
    found = source.discover(max_partitions=2)
    for partition in found.partitions:
        whole = batches(source, found, partition, batch_rows=batch_rows)
        all_rows = frame(whole).rows()
        step = max(1, len(whole) // 5)
        for batch in whole[::step]:
            after = batches(
                table.source(table="t"), found, partition, rows_done=batch.rows_done, position=batch.position
            )
            assert (frame(after).rows() if after else []) == all_rows[batch.rows_done :]
            counted = batches(source, found, partition, rows_done=batch.rows_done)
            assert (frame(counted).rows() if counted else []) == all_rows[batch.rows_done :]
        # anywhere, as the runtime cuts batches by itself
        assert frame(batches(source, found, partition, rows_done=123)).rows() == all_rows[123:]
    assert len(queries(table)) == 1


def test_a_position_of_another_place_is_refused(table: Double) -> None:
    source = table.source(table="t")
    found = source.discover(max_partitions=1)
    with pytest.raises(SourceError) as refused:
        batches(source, found, found.partitions[0], rows_done=10, position={"batch": 3, "row": 5})
    assert refused.value.code == "bad_position"


def test_another_process_reads_what_the_first_one_ran(table: Double) -> None:
    source = table.source(table="t")
    found = source.discover(max_partitions=3)
    expected = sum(int(each) for each in frame(batches(source, found, found.partitions[1]))["ID"])
    source.close()
    program = f"""
import json, sys
from tests.connectors.snowflake.double import Double
from headrace.connectors.source import Partition
from headrace.ir.schema import Field
given = json.loads(sys.stdin.read())
source = Double({table.port}).source(table="t")
schema = tuple(Field(**each) for each in given["schema"])
read = source.read(Partition(**given["partition"]), schema)
print(sum(int(value) for batch in read for value in batch.frame["ID"]))
source.close()
"""
    import json
    from dataclasses import asdict

    given = {"schema": [asdict(each) for each in found.schema], "partition": asdict(found.partitions[1])}
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
    assert len(queries(table)) == 1


def test_what_changes_meanwhile_is_not_seen(table: Double) -> None:
    source = table.source(table="t")
    found = source.discover(max_partitions=2)
    table.make("DELETE FROM t", "ALTER TABLE t DROP COLUMN name")
    read = [batch for partition in found.partitions for batch in batches(source, found, partition)]
    assert frame(read).height == 1000
    assert set(frame(read)["NAME"]) == {f"r{number}" for number in range(1000)}


def test_a_query_with_bound_values_columns_and_a_table_without_rows(table: Double) -> None:
    asked = {"query": "SELECT id, name AS who FROM t WHERE id < :most AND name <> :no -- :not\n", "columns": ["who"]}
    source = table.source(**asked, parameters={"most": 3, "no": "r1' OR '1'='1"})
    assert sorted(rows(source)) == [("r0",), ("r1",), ("r2",)]
    source = table.source(**asked, parameters={"most": 0, "no": ""})
    found = source.discover(max_partitions=4)
    assert (found.partitions, found.total_rows) == ([], 0)
    assert [field.name for field in found.schema] == ["who"]


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM t",
        "SELECT 1; SELECT 2",
        "CALL do_it()",
        "COPY INTO @stage FROM t",
        "USE ROLE ACCOUNTADMIN",
        "PUT file:///etc/passwd @~",
        "EXECUTE IMMEDIATE 'DROP TABLE t'",
        "SHOW TABLES",
    ],
)
def test_a_query_only_reads(account: Double, query: str) -> None:
    with pytest.raises(SourceError) as refused:
        account.source(query=query)
    assert refused.value.code == "bad_query"
    assert account.info()["seen"] == []


def test_names_are_folded_as_snowflake_does(account: Double) -> None:
    account.make(
        "CREATE TABLE plain (id INT)",
        "INSERT INTO plain VALUES (1)",
        'CREATE TABLE "quo ted" ("lower" INT, "a""b" INT)',
        'INSERT INTO "quo ted" VALUES (2, 3)',
    )
    for name in ("plain", "PLAIN", '"PLAIN"', "public.plain", "analytics.public.PLAIN", 'ANALYTICS."PUBLIC".plain'):
        assert rows(account.source(table=name)) == [(Decimal(1),)]
    assert rows(account.source(table='"quo ted"')) == [(Decimal(2), Decimal(3))]
    assert rows(account.source(table='"quo ted"', columns=["lower"])) == [(Decimal(2),)]
    for name in ("nowhere", "plain.plain"):
        with pytest.raises(SourceError) as refused:
            account.source(table=name).discover(max_partitions=1)
        assert refused.value.code == "missing_table"
    # the double itself is not particular about case
    for text, name in (
        ("plain", ("PLAIN",)),
        ('"plain"', ("plain",)),
        ('sales."a.b".T1', ("SALES", "a.b", "T1")),
        ('"say ""hi"""', ('say "hi"',)),
        (" sales . orders ", ("SALES", "ORDERS")),
        ("a.b.c.d", None),
        ("", None),
    ):
        assert parts(text) == name
        if name is not None:
            assert parts(written(name)) == name


def test_columns_that_are_declared_are_read_as_that(table: Double) -> None:
    from headrace.ir.schema import Field

    source = table.source((Field("id", "bigint"), Field("name", "text")), table="t")
    found = source.discover(max_partitions=1)
    assert [(field.name, field.data_type) for field in found.schema] == [("id", "bigint"), ("name", "text")]
    assert sorted(rows(source))[:2] == [(0, "r0"), (1, "r1")]


def test_only_wanted_columns_are_given(table: Double) -> None:
    source = table.source(table="t")
    found = source.discover(max_partitions=1)
    [batch, *_] = batches(source, found, found.partitions[0], columns=("NAME",))
    assert batch.frame.columns == ["NAME", "__row"]


def test_a_sample_is_a_query_for_so_many_rows(table: Double) -> None:
    assert table.source(table="t").sample(5).height == 5
    assert queries(table)[-1].endswith("LIMIT 5")


class TestWhatBreaks:
    def test_a_piece_that_fails_is_asked_for_again(self, table: Double) -> None:
        source = table.source(table="t")
        found = source.discover(max_partitions=1)
        table.control(failChunks=2, failStatus=503)
        assert frame(batches(source, found, found.partitions[0])).height == 1000

    def test_a_piece_that_is_cut_is_asked_for_again(self, table: Double) -> None:
        source = table.source(table="t")
        found = source.discover(max_partitions=1)
        table.control(cutChunks=1)
        assert sorted(frame(batches(source, found, found.partitions[0]))["ID"]) == list(range(1000))

    def test_addresses_that_expired_are_asked_for_again(self, table: Double) -> None:
        source = table.source(table="t")
        found = source.discover(max_partitions=1)
        read, reading = [], source.read(found.partitions[0], found.schema)
        read.append(next(reading))
        table.control(stale=True)
        read += list(reading)
        assert sorted(frame(read)["ID"]) == list(range(1000))
        assert len(queries(table)) == 1

    def test_a_session_that_ended_is_made_again(self, table: Double) -> None:
        source = table.source(table="t")
        found = source.discover(max_partitions=1)
        table.control(logout=True)
        assert frame(batches(source, found, found.partitions[0])).height == 1000
        assert len(queries(table)) == 1

    def test_a_result_that_expired_says_what_to_do(self, table: Double) -> None:
        source = table.source(table="t")
        found = source.discover(max_partitions=1)
        table.control(expire=True)
        with pytest.raises(SourceError, match="keeps one for 24 hours") as refused:
            batches(source, found, found.partitions[0])
        assert refused.value.code == "result_expired"
        assert "Start a new run" in refused.value.hint

    def test_what_goes_on_failing_is_reported(self, table: Double) -> None:
        source = table.source(table="t")
        found = source.discover(max_partitions=1)
        table.control(failChunks=10_000, failStatus=403)
        with pytest.raises(SourceError) as refused:
            batches(source, found, found.partitions[0])
        assert refused.value.code == "connection_lost"
        assert "http" not in refused.value.message.lower().replace("http request", "").replace("http status", "")


@pytest.mark.slow
def test_memory_is_that_of_a_batch(account: Double) -> None:
    """A result of 40 pieces of about 4 MB: what a read holds does not grow with them."""
    account.control(chunkRows=20_000)
    account.make(
        "CREATE TABLE t AS SELECT seq8() AS id, REPEAT('x', 180) || seq8() AS name "
        "FROM TABLE(GENERATOR(ROWCOUNT => 800000))"
    )
    program = f"""
import resource
from tests.connectors.snowflake.double import Double
source = Double({account.port}).source(table="t")
found = source.discover(max_partitions=1)
peaks, count = [], 0
for batch in source.read(found.partitions[0], found.schema):
    count += batch.rows
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
source.close()
print(count, peaks[len(peaks) // 4], peaks[-1])
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
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
    from headrace.connectors.registry import config_problems

    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"table": "a.b.c"}, []),
        ({}, ["config"]),
        ({"query": "DELETE FROM t"}, ["config.query"]),
        ({"table": "t", "partitioning": {"by": "ctid"}}, ["config.partitioning.by"]),
        ({"table": "t", "partitioning": {"column": "id"}}, ["config.partitioning.column"]),
        ({"table": "t", "partitioning": {"partitions": 3}}, []),
    ]
    for config, paths in cases:
        assert [each.path for each in config_problems("snowflake", config)] == paths


class TestNarrowed:
    """A run executes one query: for the columns and rows that its plan has a use for."""

    @pytest.fixture
    def orders(self, account: Double) -> Double:
        account.make(
            "CREATE TABLE t AS SELECT seq4() AS id, 'r' || seq4() % 7 AS name, (seq4() / 8)::NUMBER(12, 3) AS price, "
            "DATEADD(day, seq4() % 400, '2024-01-01'::DATE) AS day, "
            "DATEADD(minute, seq4(), '2024-01-01 00:00:00'::TIMESTAMP_NTZ)::TIMESTAMP_NTZ(6) AS moment "
            "FROM TABLE(GENERATOR(ROWCOUNT => 500))"
        )
        return account

    @pytest.mark.parametrize(
        ("bound", "said"),
        [
            (Bound("ID", "<", 100), '"ID" < (100)'),
            (Bound("PRICE", ">=", Decimal("60.125")), '"PRICE" >= (60.125)'),
            (Bound("NAME", "=", "r3"), "\"NAME\" = 'r3'::VARCHAR"),
            (Bound("DAY", "<=", date(2024, 1, 9)), "\"DAY\" <= '2024-01-09'::DATE"),
            (Bound("NAME", "<", "r3"), None),  # a collation may order otherwise
        ],
    )
    def test_rows_are_filtered_there_as_here(self, orders: Double, bound: Bound, said: str | None) -> None:
        source = orders.source(table="t", columns=["ID", "NAME", "PRICE", "DAY"])
        wanted = Wanted(frozenset(("ID", bound.column)), (bound,))
        before = len(queries(orders))
        found = source.narrowed(source.described(max_partitions=3), wanted)
        [asked] = queries(orders)[before:]
        assert ("WHERE" in asked) == (said is not None)
        assert said is None or said in asked
        assert {name for name in ("ID", "NAME", "PRICE", "DAY") if f'"{name}"' in asked} == {"ID", bound.column}
        frames = [batch.frame for each in found.partitions for batch in source.read(each, found.schema, wanted=wanted)]
        compared = {"<": pl.Expr.lt, ">=": pl.Expr.ge, "=": pl.Expr.eq, "<=": pl.Expr.le}[bound.comparison]
        kept = pl.concat(frames).filter(compared(pl.col(bound.column), pl.lit(bound.value)))
        whole = orders.source(table="t", columns=["ID", "NAME", "PRICE", "DAY"])
        everything = whole.discover(max_partitions=1)
        all_rows = pl.concat([b.frame for p in everything.partitions for b in whole.read(p, everything.schema)])
        expected = all_rows.filter(compared(pl.col(bound.column), pl.lit(bound.value)))
        assert sorted(kept["ID"]) == sorted(expected["ID"])

    def test_with_a_value_that_may_be_unreadable_all_rows_are_asked_for(self, orders: Double) -> None:
        orders.make("CREATE TABLE fine AS SELECT id, moment::TIMESTAMP_NTZ(9) AS moment FROM t")
        source = orders.source(table="fine")
        found = source.described(max_partitions=1)
        if "MOMENT" in found.sure:
            pytest.skip("the double says that it has no nanoseconds")
        bounds = (Bound("ID", "<", 100),)
        found = source.narrowed(found, Wanted(frozenset(("ID", "MOMENT")), bounds))
        assert sum(each.rows for each in found.partitions) == 500

    def test_a_column_that_was_not_asked_for_is_told(self, orders: Double) -> None:
        source = orders.source(table="t")
        found = source.narrowed(source.described(max_partitions=1), Wanted(frozenset(("ID",))))
        with pytest.raises(SourceError) as error:
            list(source.read(found.partitions[0], found.schema))
        assert error.value.code == "not_selected"

    def test_with_a_cursor_only_columns_are_left_out(self, orders: Double) -> None:
        source = orders.source(table="t", cursor={"column": "moment", "key": ["id"]})
        bounds = (Bound("ID", "<", 100),)
        found = source.narrowed(source.described(max_partitions=1), Wanted(frozenset(("NAME",)), bounds))
        assert [each.rows for each in found.partitions] == [500]
        [partition] = found.partitions
        frames = [b.frame for b in source.read(partition, found.schema, wanted=Wanted(frozenset(("NAME",))))]
        assert pl.concat(frames).columns == ["NAME", "__row"]
