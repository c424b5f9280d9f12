"""scd2: every version of a row is kept with its period, and unchanged rows change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.modes import MODES
from headrace.connectors.target import Resume
from tests.connectors.postgresql.modes.full_load import Load, Table, rows, spec

pytestmark = pytest.mark.postgres

HISTORY = "valid_from timestamptz NOT NULL, valid_to timestamptz, is_current boolean NOT NULL"


@pytest.fixture
def sql(database_url: str) -> Iterator[Table]:
    table = Table(database_url)
    yield table
    table.connection.close()


def history(url: str, *columns: str, key: tuple[str, ...] = ("id",), **rest: Any) -> Load:
    return Load("scd2", spec(url, columns, upsert_key=key, **rest)).begin()


def once(url: str, run_id: str, **columns: list[object]) -> Resume:
    loading = history(url, *columns, run_id=run_id)
    loading.write(rows(**columns))
    return loading.publish()


def test_a_change_closes_the_current_version_and_begins_another(database_url: str, sql: Table) -> None:
    sql(f"CREATE TABLE t (sk serial PRIMARY KEY, id int, name text, n int, {HISTORY})")
    sql("CREATE UNIQUE INDEX ON t (id) WHERE is_current")
    assert once(database_url, "run_1", id=[1, 2, 3], name=["a", "b", None]) == Resume(rows_loaded=3)
    again = once(database_url, "run_2", id=[1, 2, 3, 4], name=["a", "new", None, "d"])
    assert again == Resume(rows_loaded=2, rows_skipped=2)
    assert sql("SELECT id, name, is_current, valid_to IS NULL FROM t ORDER BY id, valid_from") == [
        (1, "a", True, True),
        (2, "b", False, False),
        (2, "new", True, True),
        (3, None, True, True),
        (4, "d", True, True),
    ]
    # one version ends when the next begins, which is when its load began
    assert sql("SELECT count(*) FROM t o JOIN t n ON n.id = o.id AND n.valid_from = o.valid_to") == [(1,)]
    since = "SELECT count(*) FROM t JOIN _headrace.loads ON load_id = _headrace_load_id WHERE valid_from = started_at"
    assert sql(since) == [(5,)]


def test_the_last_row_of_a_key_is_the_one_that_counts(database_url: str, sql: Table) -> None:
    sql(f"CREATE TABLE t (id int, name text, {HISTORY})")
    assert once(database_url, "run_1", id=[1, 1, 1], name=["a", "b", "c"]) == Resume(rows_loaded=1, rows_skipped=2)
    # the last one says what the table says, so nothing happened
    assert once(database_url, "run_2", id=[1, 1], name=["x", "c"]) == Resume(rows_skipped=2)
    assert sql("SELECT name FROM t") == [("c",)]


def test_json_is_compared_by_what_it_says(database_url: str, sql: Table) -> None:
    sql(f"CREATE TABLE t (id int, doc json, {HISTORY})")
    once(database_url, "run_1", id=[1, 2], doc=['{"a": 1, "b": 2}', "[1]"])
    assert once(database_url, "run_2", id=[1, 2], doc=['{"b":2,"a":1}', "[2]"]) == Resume(rows_loaded=1, rows_skipped=1)


def test_the_data_may_say_since_when(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (id int, n int, valid_from date, valid_to date, is_current boolean)")
    day = [datetime(2024, 1, number, tzinfo=UTC).date() for number in range(1, 10)]
    assert once(database_url, "run_1", id=[1, 2], n=[1, 1], valid_from=[day[4], day[4]]) == Resume(rows_loaded=2)
    loading = history(database_url, "id", "n", "valid_from", run_id="run_2")
    loading.write(
        rows(id=[1, 2, 2], n=[2, 3, 2], valid_from=[day[6], day[5], day[3]]),
    )
    # the last row of 2 is older than what is there: it is refused, and the one before it counts
    assert loading.publish() == Resume(rows_loaded=2, rows_failed=1)
    assert loading.cells == [(3, "valid_from", "Older than the current version, which holds from 2024-01-05")]
    assert sql("SELECT id, n, valid_from, valid_to, is_current FROM t ORDER BY id, n") == [
        (1, 1, day[4], day[6], False),
        (1, 2, day[6], None, True),
        (2, 1, day[4], day[5], False),
        (2, 3, day[5], None, True),
    ]


def test_a_version_the_table_refuses_leaves_the_current_one_open(database_url: str, sql: Table) -> None:
    sql(f"CREATE TABLE t (id int, n int, {HISTORY}, EXCLUDE (n WITH =) WHERE (n > 5))")
    once(database_url, "run_1", id=[1, 2], n=[6, 1])
    loading = history(database_url, "id", "n", run_id="run_2")
    loading.write(rows(id=[2, 3], n=[6, 3]))
    assert loading.publish() == Resume(rows_loaded=1, rows_failed=1)
    assert [cell[0] for cell in loading.cells] == [1]
    assert sql("SELECT id, n FROM t WHERE is_current ORDER BY id") == [(1, 6), (2, 1), (3, 3)]


@pytest.mark.parametrize(
    ("table", "code", "says"),
    [
        ("id int, name text", "history_columns", "it needs valid_from, valid_to, is_current"),
        (f"id int, name text, {HISTORY}".replace("boolean", "text"), "history_columns", "it needs is_current"),
        (
            f"id int, name text, {HISTORY}".replace("valid_to timestamptz", "valid_to date NOT NULL"),
            "history_columns",
            "must not be null",
        ),
        (f"id int PRIMARY KEY, name text, {HISTORY}", "history_key_unique", "WHERE is_current"),
    ],
)
def test_a_table_that_cannot_keep_a_history_is_reported(
    database_url: str, sql: Table, table: str, code: str, says: str
) -> None:
    sql(f"CREATE TABLE t ({table})")
    with pytest.raises(TargetError, match=says) as error:
        history(database_url, "id", "name")
    assert error.value.code == code


def test_the_preview_shows_both_steps() -> None:
    reported = MODES["scd2"](spec("postgresql://nowhere/x", ["id", "name"], upsert_key=("id",))).preview()
    assert 'UPDATE "public"."t" AS t SET "valid_to" = now(), "is_current" = false' in reported
    assert (
        'INSERT INTO "public"."t" ("id", "name", "_headrace_load_id", "valid_from", "valid_to", "is_current")'
        in reported
    )
