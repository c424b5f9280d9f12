"""Tables of dead loads are dropped after some days, and no other tables."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.ledger.committed import committed_partitions, committed_rows
from headrace.connectors.postgresql.ledger.partitions import LedgerKey, advance_ledger, record_publication
from headrace.connectors.postgresql.locks.load_lock import TargetLock
from headrace.connectors.postgresql.tables.garbage_collection import drop_abandoned_tables, drop_staged
from headrace.connectors.postgresql.tables.table_owner_tag import TableOwnerTag
from headrace.connectors.target import Resume
from tests.connectors.postgresql.modes.full_load import Load, Table, load, rows, spec
from tests.databases import as_superuser

pytestmark = pytest.mark.postgres

LATER = datetime.now(UTC) + timedelta(days=8)


@pytest.fixture
def sql(database_url: str) -> Iterator[Table]:
    table = Table(database_url)
    table("CREATE TABLE t (a int)")
    yield table
    table.connection.close()


def left(sql: Table) -> list[str]:
    return [
        name
        for (name,) in sql("SELECT relname FROM pg_class WHERE relname LIKE 'stage\\_%' OR relname LIKE '%\\_\\_new'")
    ]


def test_tables_of_loads_that_stand_still_go_after_a_week_with_what_was_counted(database_url: str, sql: Table) -> None:
    for number, mode in enumerate(("replace", "blue_green", "incremental_watermark")):
        the_spec = spec(database_url, ["a"], run_id=f"run_{number}", watermark_column="a")
        Load(mode, the_spec).begin().write(rows(a=[1]))
    assert len(left(sql)) == 3
    assert drop_abandoned_tables(sql.connection) == []
    assert len(drop_abandoned_tables(sql.connection, now=LATER)) == 3
    assert left(sql) == []
    late = Load("blue_green", spec(database_url, ["a"], run_id="run_1")).begin()
    assert late.write(rows(a=[1])).rows_done == 1
    late.publish()
    assert sql("SELECT a FROM t") == [(1,)]


def test_what_other_targets_of_the_chain_have_committed_is_not_forgotten(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE other (a int)")
    load("append", spec(database_url, ["a"]), rows(a=[1]))
    from dataclasses import replace

    staged = replace(spec(database_url, ["a"], watermark_column="a"), target_node="second")
    Load("incremental_watermark", staged).begin().write(rows(a=[1]))
    assert len(drop_abandoned_tables(sql.connection, now=LATER)) == 1
    assert sql("SELECT target_node FROM _headrace.ledger") == [("tgt",)]
    assert sql("SELECT target_node FROM _headrace.staging_ledger") == []


def test_what_was_measured_of_rows_that_are_dropped_is_forgotten_too(database_url: str, sql: Table) -> None:
    Load("incremental_watermark", spec(database_url, ["a"], watermark_column="a")).begin().write(rows(a=[1]))
    measured = [(run, "check.rules.0.measured") for run in ("run_1", "run_2")]
    for run, name in measured:
        with sql.connection.transaction():
            advance_ledger(
                sql.connection, LedgerKey(run, name, 0, 0, "staging_ledger", "measure"), Resume(), Resume(rows_done=1)
            )
    assert len(drop_abandoned_tables(sql.connection, now=LATER)) == 1
    assert sql("SELECT root_run_id, target_node FROM _headrace.staging_ledger") == measured[1:]
    assert committed_rows(committed_partitions(sql.connection, ["run_1"])) == (0, False)  # a retry is bound to nothing


def test_a_load_that_moves_or_whose_target_is_taken_stays(database_url: str, sql: Table) -> None:
    begun = Load("replace", spec(database_url, ["a"])).begin()
    earlier = "UPDATE pg_description SET description = replace(description, '20', '19')"
    as_superuser(database_url, f"{earlier} WHERE description LIKE 'Headrace%'")
    begun.write(rows(a=[1]))
    assert drop_abandoned_tables(sql.connection) == []
    lock = TargetLock(database_url, "public.t", "run_1", shared=False)
    lock.acquire()
    assert drop_abandoned_tables(sql.connection, now=LATER) == []
    assert len(drop_abandoned_tables(sql.connection, now=LATER, mine=["public.t"])) == 1
    lock.release()


def test_tables_of_others_stay(database_url: str, sql: Table) -> None:
    load("replace", spec(database_url, ["a"]), rows(a=[1]))
    sql("CREATE TABLE mine__new (a int); COMMENT ON TABLE mine__new IS 'Headrace load is what I call it'")
    mark = str(TableOwnerTag.now("run_1", "tgt", "public.t"))
    sql(f"COMMENT ON TABLE t IS '{mark}'")
    assert drop_abandoned_tables(sql.connection, now=LATER) == []


def test_a_mark_is_read_as_it_was_written() -> None:
    for shape in (None, "0123abcd"):
        mark = TableOwnerTag.now("run_1/full", "a-node", "public.t", shape)
        assert TableOwnerTag.parse(str(mark)) == mark
    assert TableOwnerTag.parse("orders of 2024") is TableOwnerTag.parse(None) is None


def test_what_no_retry_can_continue_goes_with_the_next_run_that_has_the_target(database_url: str, sql: Table) -> None:
    Load("replace", spec(database_url, ["a"])).begin().write(rows(a=[1]))
    Load("incremental_watermark", spec(database_url, ["a"], watermark_column="a")).begin().write(rows(a=[1]))
    assert drop_abandoned_tables(sql.connection, run_id="run_1", mine=["public.t"]) == []
    assert drop_abandoned_tables(sql.connection, run_id="run_2", mine=["public.other"]) == []
    assert len(drop_abandoned_tables(sql.connection, run_id="run_2", mine=["public.t"])) == 1
    assert sql("SELECT root_run_id FROM _headrace.staging_ledger") == [("run_1",)]


def until_it_waits(sql: Table, work: Future[Any]) -> None:
    while not (work.done() or sql("SELECT 1 FROM pg_locks WHERE NOT granted")):
        time.sleep(0.01)


def test_what_is_being_published_meanwhile_is_not_dropped(database_url: str, sql: Table) -> None:
    Load("incremental_watermark", spec(database_url, ["a"], watermark_column="a")).begin().write(rows(a=[1]))
    [staged] = left(sql)
    with psycopg.connect(database_url) as publishing, ThreadPoolExecutor(1) as pool:
        publishing.execute(f"INSERT INTO t SELECT a FROM _headrace.{staged}")
        dropping = pool.submit(drop_staged, database_url, "run_1")
        until_it_waits(sql, dropping)
        assert record_publication(
            publishing, LedgerKey("run_1", "tgt", 0, 0, kind="publication"), Resume(rows_loaded=1)
        )
        publishing.commit()
        with pytest.raises(TargetError, match=r"made rows visible in public\.t\."):
            dropping.result(timeout=60)
    assert left(sql) == [staged]
    assert sql("SELECT count(*) FROM _headrace.staging_ledger") == [(1,)]


def test_a_table_that_is_being_filled_is_not_recreated_for_other_columns(database_url: str, sql: Table) -> None:
    Load("incremental_watermark", spec(database_url, ["a"], watermark_column="a")).begin()
    [staged] = left(sql)
    sql("ALTER TABLE t ADD b int")
    wider = Load("incremental_watermark", spec(database_url, ["a", "b"], watermark_column="a"))
    with psycopg.connect(database_url) as filling, ThreadPoolExecutor(1) as pool:
        filling.execute(f"INSERT INTO _headrace.{staged} (a) VALUES (1)")
        beginning = pool.submit(wider.begin)
        until_it_waits(sql, beginning)
        filling.commit()
        beginning.result(timeout=60)
    assert sql(f"SELECT a FROM _headrace.{staged}") == [(1,)]
