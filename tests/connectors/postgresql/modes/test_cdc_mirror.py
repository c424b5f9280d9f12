"""cdc_mirror: the last event of a key wins, deletes delete, and events that cannot be applied are reported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.modes import MODES
from headrace.connectors.postgresql.tables.describe import STAGED_OP
from headrace.connectors.target import Resume
from tests.connectors.postgresql.modes.full_load import Load, Table, rows, spec

pytestmark = pytest.mark.postgres


@pytest.fixture
def sql(database_url: str) -> Iterator[Table]:
    table = Table(database_url)
    yield table
    table.connection.close()


def mirror(url: str, *columns: str, **rest: Any) -> Load:
    return Load("cdc_mirror", spec(url, columns, upsert_key=("id",), **rest)).begin()


def events(first: int = 1, *, op: str, **columns: list[object]) -> Any:
    return rows(first, **{**columns, STAGED_OP: list(op)})


def test_the_last_event_of_a_key_decides(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY, name text NOT NULL, kept int)")
    sql("INSERT INTO t VALUES (1, 'old', 7), (2, 'old', 7), (3, 'old', 7), (4, 'old', 7)")
    loading = mirror(database_url, "id", "name")
    loading.write(
        events(
            op="uddccddr",
            id=[1, 2, 3, 3, 5, 5, 6, 7],
            name=["new", None, None, "again", "short", None, None, "seven"],
        )
    )
    # 2 is deleted, 3 comes back, 5 came and went, 6 was never there
    assert loading.publish() == Resume(rows_loaded=4, rows_skipped=4)
    assert sql("SELECT id, name, kept FROM t ORDER BY id") == [
        (1, "new", 7),
        (3, "again", 7),
        (4, "old", 7),
        (7, "seven", None),
    ]


def test_a_change_that_does_not_fit_is_reported_and_the_one_before_it_is_kept(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY, name text NOT NULL, n int CHECK (n > 0), code text UNIQUE)")
    sql("INSERT INTO t VALUES (1, 'old', 1, 'a'), (2, 'old', 1, 'b')")
    loading = mirror(database_url, "id", "name", "n", "code")
    loading.write(
        events(
            op="ucddcc",
            id=[1, 3, 2, None, 4, 3],
            name=[None, "three", None, None, "four", "three again"],
            n=[1, 1, None, None, 1, 0],
            code=["a", "c", "b", None, "b", "c"],
        )
    )
    # 4 may have the code of 2, which is deleted; the delete says so itself and is no duplicate of it
    assert loading.publish() == Resume(rows_loaded=3, rows_failed=2)
    assert sorted(loading.cells) == [
        (1, "name", 'Null value in column "name"'),
        (4, "id", 'Null value in key column "id"'),
        (6, "n", 'Value violates check constraint "t_n_check"'),
    ]
    assert sql("SELECT id, name, code FROM t ORDER BY id") == [(1, "old", "a"), (3, "three", "c"), (4, "four", "b")]


def test_a_delete_that_others_refer_to_is_reported(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY, name text)")
    sql("CREATE TABLE child (id int REFERENCES t)")
    sql("INSERT INTO t VALUES (1, 'a'), (2, 'b'); INSERT INTO child VALUES (1)")
    loading = mirror(database_url, "id", "name")
    loading.write(events(op="dd", id=[1, 2], name=[None, None]))
    assert loading.publish() == Resume(rows_loaded=1, rows_failed=1)
    assert loading.cells == [(1, "id", 'Still referred to by foreign key "child_id_fkey"')]
    assert sql("SELECT id FROM t") == [(1,)]


def test_the_key_must_be_unique_here_too(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (id int, name text)")
    with pytest.raises(TargetError, match="no primary key or unique constraint on \\(id\\)"):
        mirror(database_url, "id", "name")


def test_the_preview_shows_what_becomes_of_deletes() -> None:
    reported = MODES["cdc_mirror"](spec("postgresql://nowhere/x", ["id", "name"], upsert_key=("id",))).preview()
    assert """WHEN MATCHED AND s."__headrace_op" = 'd' THEN DELETE""" in reported


def test_events_of_many_buckets_are_applied_whatever_comes_first(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (id uuid PRIMARY KEY, n int)")
    ids = [str(row[0]) for row in sql("SELECT gen_random_uuid() FROM generate_series(1, 400)")]
    with psycopg.connect(database_url) as connection:
        connection.cursor().executemany("INSERT INTO t VALUES (%s, 0)", [(each,) for each in ids[:200]])
    loading = mirror(database_url, "id", "n", planned_rows=1_000_000)
    loading.write(events(op="d" * 100 + "c" * 300, id=ids, n=[None] * 100 + [1] * 300), partition=1)
    done = [loading.mode.publish(0, i, loading._on_publish) for i in reversed(range(loading.mode.publications()))]
    assert len(done) > 2
    assert sum(each.rows_loaded for each in done) == 400
    assert sql("SELECT count(*), min(n) FROM t") == [(300, 1)]
