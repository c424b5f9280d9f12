"""Incremental reading: rows after (cursor, key), up to the current time less the lag, each row once."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from headrace.connectors.bigquery.source import BigQuerySource
from headrace.connectors.errors import SourceError
from headrace.connectors.source import Bound, Position, Restart, Wanted
from tests.connectors.bigquery.double import Double
from tests.connectors.reading import batches


def run(source: BigQuerySource, position: Position | None, *, batch_rows: int | None = None) -> tuple[list[Any], Any]:
    """The ids that a run reads, and where the next one goes on."""
    source.begin_at({} if position is None else {"default": position})
    found = source.discover(max_partitions=8)
    assert found.restart is Restart.EXACT
    assert len(found.partitions) <= 1
    read: list[Any] = []
    for partition in found.partitions:
        assert partition.cursor == "default"
        for batch in batches(source, found, partition, batch_rows=batch_rows):
            read += batch.frame["id"].to_list()
            position = batch.position
            assert position is not None
    return read, position


@pytest.fixture
def orders(bigquery: Double) -> Double:
    """A hundred rows of yesterday, ten of each moment."""
    bigquery.control(streams=5, responseRows=30)
    bigquery.make(
        "CREATE TABLE t (id INT64, moment TIMESTAMP)",
        "INSERT INTO t SELECT n + 1, TIMESTAMP_ADD(TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 1 DAY), "
        "INTERVAL CAST(FLOOR(n / 10) AS INT64) SECOND) FROM UNNEST(GENERATE_ARRAY(0, 99)) AS n",
    )
    return bigquery


@pytest.mark.parametrize("batch_rows", [None, 7])
def test_every_run_reads_what_is_new_and_nothing_twice(orders: Double, batch_rows: int | None) -> None:
    source = orders.source(table="t", cursor={"column": "moment", "key": ["id"]})
    read, position = run(source, None, batch_rows=batch_rows)
    assert read == list(range(1, 101))
    assert orders.sessions()[-1]["streams"] == 1  # whose rows are in order
    assert run(source, position) == ([], position)
    orders.make(
        "INSERT INTO t SELECT 101, MAX(moment) FROM t",
        "UPDATE t SET moment = TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 1 SECOND) WHERE id = 5",
        "INSERT INTO t SELECT 102, TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 1 HOUR)",
    )
    read, position = run(source, position, batch_rows=batch_rows)
    assert read == [101, 5]
    assert run(source, position)[0] == []


def test_a_run_that_stops_anywhere_is_gone_on_with_by_the_next(orders: Double) -> None:
    source = orders.source(table="t", cursor={"column": "moment", "key": ["id"]})
    found = source.discover(max_partitions=1)
    for batch in batches(source, found, found.partitions[0], batch_rows=9):
        assert run(source, batch.position)[0] == list(range(batch.rows_done + 1, 101))


def test_a_lag_an_initial_value_and_the_primary_key(orders: Double) -> None:
    orders.control(keys={"sales.t": ["id"]})
    assert run(orders.source(table="t", cursor={"column": "moment", "lag": "P2D"}), None) == ([], None)
    assert len(run(orders.source(table="t", cursor={"column": "moment", "lag": "PT1H"}), None)[0]) == 100
    source = orders.source(table="t", cursor={"column": "id", "initial": 91, "lag": 5, "key": []})
    assert run(source, None)[0] == [91, 92, 93, 94, 95]
    source = orders.source(table="t", cursor={"column": "moment", "initial": "9999-01-01 00:00:00+00"})
    assert run(source, None)[0] == []


@pytest.mark.parametrize("kind", ["DATE", "DATETIME", "NUMERIC", "STRING", "FLOAT64"])
@pytest.mark.first_variant
def test_cursors_of_every_type(bigquery: Double, kind: str) -> None:
    value = {"DATE": "DATE_ADD(DATE '2024-01-01', INTERVAL n DAY)"}.get(kind, f"CAST(n AS {kind})")
    if kind == "DATETIME":
        value = "DATETIME_ADD(DATETIME '2024-01-01 00:00:00', INTERVAL n MICROSECOND)"
    bigquery.make(
        f"CREATE TABLE t (id INT64, c {kind})",
        f"INSERT INTO t SELECT n, {value} FROM UNNEST(GENERATE_ARRAY(1, 9)) AS n",
    )
    source = bigquery.source(table="t", cursor={"column": "c", "key": ["id"]})
    found = source.discover(max_partitions=1)
    assert run(source, None)[0] == list(range(1, 10))
    for batch in batches(source, found, found.partitions[0], batch_rows=4):
        assert run(source, batch.position)[0] == list(range(batch.rows_done + 1, 10))


def test_a_query_with_a_parameter_has_a_cursor_too(orders: Double) -> None:
    asked = {"query": "SELECT id, moment FROM t WHERE id < :most", "parameters": {"most": 11}}
    source = orders.source(**asked, cursor={"column": "MOMENT", "key": ["ID"]})
    read, position = run(source, None)
    assert read == list(range(1, 11))
    assert run(source, position)[0] == []


def test_rows_without_a_cursor_are_counted_in_the_log(orders: Double) -> None:
    orders.make("INSERT INTO t VALUES (500, NULL)")
    found = orders.source(table="t", cursor={"column": "moment", "key": ["id"]}).discover(max_partitions=1)
    assert found.notes == ("1 rows of acme.sales.t have no moment: they are not read",)


def test_no_row_is_left_out_of_what_moves_a_cursor(orders: Double) -> None:
    source = orders.source(table="t", cursor={"column": "moment", "key": ["id"]})
    source.narrowed(source.discover(max_partitions=1), Wanted(frozenset(("id",)), (Bound("id", ">", 50),)))
    assert (orders.sessions()[-1]["fields"], orders.sessions()[-1]["where"]) == (["id", "moment"], "")


def test_two_rows_of_one_cursor_and_key(bigquery: Double) -> None:
    """A primary key is not enforced by BigQuery."""
    bigquery.make("CREATE TABLE t (id INT64, moment DATE)", "INSERT INTO t VALUES (1, '2020-01-01'), (1, '2020-01-01')")
    with pytest.raises(SourceError, match="Several rows have the same key") as refused:
        run(bigquery.source(table="t", cursor={"column": "moment", "key": ["id"]}), None)
    assert refused.value.code == "bad_key"


@pytest.mark.parametrize("ids", [[1, 3, 2], [1, 2, 3, 4, 3]])
def test_rows_that_do_not_come_in_their_order_are_an_error(
    bigquery: Double, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A position after them would lose the others."""
    bigquery.control(responseRows=2)
    bigquery.make("CREATE TABLE t AS SELECT 1 AS id")
    source = bigquery.source(table="t", cursor={"column": "id", "key": []})
    found = source.discover(max_partitions=1)
    batch = pa.RecordBatch.from_pydict({"id": pa.array(ids, pa.int64())})
    pieces = [batch.slice(start, 2) for start in range(0, len(ids), 2)]
    monkeypatch.setattr(source._dialect.storage, "batches", lambda *_: iter(pieces))
    with pytest.raises(SourceError) as refused:
        batches(source, found, found.partitions[0], batch_rows=2)
    assert refused.value.code == "bad_order"


@pytest.mark.parametrize(
    ("column", "key"), [("flag", []), ("id", ["tags"]), ("at", []), ("nothing", []), ("id", ["nothing"])]
)
def test_columns_that_rows_cannot_be_read_on_by(bigquery: Double, column: str, key: list[str]) -> None:
    bigquery.make("CREATE TABLE t (id INT64, flag BOOL, tags ARRAY<INT64>, at TIME)", "INSERT INTO t (id) VALUES (1)")
    with pytest.raises(SourceError) as refused:
        bigquery.source(table="t", cursor={"column": column, "key": key}).discover(max_partitions=1)
    assert refused.value.code in ("bad_option", "missing_column")


def test_a_position_of_another_cursor_is_refused(orders: Double) -> None:
    _, position = run(orders.source(table="t", cursor={"column": "moment", "key": ["id"]}), None)
    with pytest.raises(SourceError, match="reset its cursor") as refused:
        run(orders.source(table="t", cursor={"column": "id", "key": []}), position)
    assert refused.value.code == "bad_position"
