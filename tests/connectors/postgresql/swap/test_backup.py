"""backupBeforeLoad: copies of the old rows in backup tables, of which the newest few are kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.swap.backup import back_up, backup_name

pytestmark = pytest.mark.postgres


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE public.t (a int PRIMARY KEY, b text); INSERT INTO t VALUES (1, 'x'), (2, NULL)"
        )
        yield connection


def tables(connection: psycopg.Connection[Any]) -> list[str]:
    found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    return [name for (name,) in found]


def test_the_rows_are_kept_as_they_were(database_url: str, connection: psycopg.Connection[Any]) -> None:
    made = back_up(database_url, "public.t", "run_0123456789abcdef")
    assert (made.table, made.rows, made.dropped) == ("public.t__backup_0123456789ab", 2, ())
    connection.execute("DELETE FROM t")
    assert connection.execute("SELECT a, b FROM t__backup_0123456789ab ORDER BY a").fetchall() == [(1, "x"), (2, None)]


def test_a_retry_keeps_the_rows_of_the_first_attempt(database_url: str, connection: psycopg.Connection[Any]) -> None:
    back_up(database_url, "public.t", "run_1")
    connection.execute("DELETE FROM t")
    assert back_up(database_url, "public.t", "run_1").rows is None
    assert connection.execute("SELECT count(*) FROM t__backup_1").fetchone() == (2,)


def test_the_newest_three_are_kept_and_nobody_elses_table_goes(
    database_url: str, connection: psycopg.Connection[Any]
) -> None:
    connection.execute("CREATE TABLE t__backup_mine (a int); CREATE TABLE t2 (a int)")
    connection.execute("CREATE TABLE t__backup_odd (a int); COMMENT ON TABLE t__backup_odd IS 'Headrace backup of t'")
    back_up(database_url, "public.t2", "run_0")
    dropped = [back_up(database_url, "public.t", f"run_{number}").dropped for number in range(5)]
    assert dropped == [(), (), (), ("public.t__backup_0",), ("public.t__backup_1",)]
    kept = ["t", "t2", "t2__backup_0", *(f"t__backup_{each}" for each in (2, 3, 4, "mine", "odd"))]
    assert tables(connection) == kept


def test_a_taken_name_is_reported_and_left_alone(database_url: str, connection: psycopg.Connection[Any]) -> None:
    connection.execute("CREATE TABLE t__backup_1 (a int)")
    with pytest.raises(TargetError) as caught:
        back_up(database_url, "public.t", "run_1")
    assert caught.value.code == "name_taken"
    assert tables(connection) == ["t", "t__backup_1"]


def test_names_stay_within_the_limit_and_apart() -> None:
    long, longer = "ds_" + "a" * 58, "ds_" + "a" * 59
    names = [backup_name(table, "run_0123456789abcdef") for table in (long, longer, "ü" * 31)]
    assert len(set(names)) == 3
    assert all(len(name.encode()) <= 63 for name in names)
    assert backup_name("t", "run; DROP TABLE t") == "t__backup_run__DROP_TA"


def test_a_full_load_can_be_undone_from_the_backup(database_url: str, connection: psycopg.Connection[Any]) -> None:
    made = back_up(database_url, "public.t", "run_1")
    connection.execute("TRUNCATE t; INSERT INTO t VALUES (9, 'new')")
    connection.execute(f"BEGIN; DELETE FROM t; INSERT INTO t SELECT * FROM {made.table}; COMMIT")  # type: ignore[arg-type]
    assert connection.execute("SELECT a FROM t ORDER BY a").fetchall() == [(1,), (2,)]
