"""upsert: the last row of a key is in the table, and every other row is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.modes import MODES
from headrace.connectors.postgresql.tables.describe import LOAD_ID
from headrace.connectors.target import Resume
from tests.connectors.postgresql.modes.full_load import Load, load, rows, spec

pytestmark = pytest.mark.postgres

Execute = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def run(database_url: str) -> Iterator[Execute]:
    """Runs a statement on a connection of its own."""
    with psycopg.connect(database_url, autocommit=True) as connection:

        def execute(statement: str) -> list[tuple[Any, ...]]:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

        yield execute


def upsert(url: str, *columns: str, key: tuple[str, ...] = ("id",), **rest: Any) -> Load:
    return Load("upsert", spec(url, columns, upsert_key=key, **rest)).begin()


def test_known_keys_are_updated_and_new_ones_inserted(database_url: str, run: Execute) -> None:
    run("CREATE TABLE t (id int PRIMARY KEY, name text, kept text DEFAULT 'default')")
    run("INSERT INTO t VALUES (1, 'old', 'mine'), (2, 'old', 'mine')")
    loading = upsert(database_url, "id", "name")
    loading.write(rows(id=[2, 3], name=["new", "new"]))
    assert loading.publish() == Resume(rows_loaded=2)
    assert run("SELECT id, name, kept FROM t ORDER BY id") == [
        (1, "old", "mine"),
        (2, "new", "mine"),
        (3, "new", "default"),
    ]
    loads = f"SELECT id, run_id, source_node FROM t JOIN _headrace.loads ON load_id = {LOAD_ID} ORDER BY id"
    assert run(loads) == [(2, "run_1", "src"), (3, "run_1", "src")]
    assert run("SELECT count(*) FROM pg_class WHERE relname LIKE 'stage_%'") == [(0,)]


def test_the_last_row_of_a_key_wins_whichever_partition_is_first(database_url: str, run: Execute) -> None:
    run("CREATE TABLE t (id int PRIMARY KEY, name text)")
    loading = upsert(database_url, "id", "name")
    loading.write(rows(first=11, id=[1, 2, 1], name=["11", "12", "13"]), partition=1)
    loading.write(rows(first=1, id=[1, 3], name=["1", "2"]), partition=0)
    assert loading.publish() == Resume(rows_loaded=3, rows_skipped=2)
    assert run("SELECT id, name FROM t ORDER BY id") == [(1, "13"), (2, "12"), (3, "2")]


def test_a_row_without_its_key_is_refused(database_url: str, run: Execute) -> None:
    run("CREATE TABLE t (a int, b text, n int, UNIQUE (b, a))")
    loading = upsert(database_url, "a", "b", "n", key=("a", "b"))
    assert loading.write(rows(a=[1, None, 1], b=["x", "x", None], n=[1, 2, 3])).rows_failed == 2
    assert loading.publish() == Resume(rows_loaded=1)
    assert loading.cells == [
        (2, "a", 'Null value in key column "a"'),
        (3, "b", 'Null value in key column "b"'),
    ]


def test_nulls_are_a_key_where_the_constraint_says_so(database_url: str, run: Execute) -> None:
    run("CREATE TABLE t (a int, b int NOT NULL, n int, UNIQUE NULLS NOT DISTINCT (a, b))")
    run("INSERT INTO t VALUES (NULL, 1, 0), (2, 2, 0)")
    loading = upsert(database_url, "a", "b", "n", key=("a", "b"))
    loading.write(rows(a=[None, 2, None, None], b=[1, 2, 9, 1], n=[1, 2, 3, 4]))
    assert loading.publish() == Resume(rows_loaded=3, rows_skipped=1)
    assert run("SELECT a, b, n FROM t ORDER BY b") == [(None, 1, 4), (2, 2, 2), (None, 9, 3)]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("id int, name text", "no primary key or unique constraint"),
        ("id int, name text, UNIQUE (id, name)", "no primary key or unique constraint"),
        ("id int, name text, UNIQUE (id) DEFERRABLE", 'ALTER TABLE "public"."t" ADD UNIQUE \\("id"\\)'),
    ],
)
def test_a_key_that_does_not_distinguish_rows_is_refused(
    database_url: str, run: Execute, table: str, says: str
) -> None:
    run(f"CREATE TABLE t ({table})")
    run("CREATE UNIQUE INDEX ON t (id) WHERE id > 0")
    run("CREATE UNIQUE INDEX ON t ((id + 1))")
    with pytest.raises(TargetError, match=says) as error:
        upsert(database_url, "id", "name")
    assert error.value.code == "upsert_key_not_unique"


def test_a_plain_unique_index_will_do(database_url: str, run: Execute) -> None:
    run("CREATE TABLE t (id int, name text)")
    run("CREATE UNIQUE INDEX ON t (id) INCLUDE (name)")
    loading = upsert(database_url, "id", "name")
    loading.write(rows(id=[1], name=["a"]))
    assert loading.publish() == Resume(rows_loaded=1)


@pytest.mark.parametrize(
    ("columns", "key", "code"),
    [
        (("id", "name"), (), "missing_upsert_key"),
        (("id",), ("id",), "nothing_to_update"),
        (("name",), ("id",), "upsert_key_column"),
        (("id", "name"), ("nr",), "upsert_key_column"),
    ],
)
def test_a_key_that_cannot_be_used_is_reported(
    database_url: str, run: Execute, columns: tuple[str, ...], key: tuple[str, ...], code: str
) -> None:
    run("CREATE TABLE t (id int UNIQUE, name text)")
    with pytest.raises(TargetError) as error:
        upsert(database_url, *columns, key=key)
    assert error.value.code == code


def test_rows_the_table_refuses_are_reported_and_the_row_before_takes_their_place(
    database_url: str, run: Execute
) -> None:
    run("CREATE TABLE parent (id int PRIMARY KEY)")
    run("INSERT INTO parent VALUES (1)")
    run("CREATE TABLE t (id int PRIMARY KEY, parent int REFERENCES parent, note text)")
    run("INSERT INTO t VALUES (3, 1, 'old')")
    run(
        "CREATE FUNCTION strict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF NEW.note = 'bad' THEN RAISE EXCEPTION 'not that'; END IF; "
        "IF NEW.note = 'gone' THEN RETURN NULL; END IF; RETURN NEW; END $$"
    )
    run("CREATE TRIGGER strict BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION strict()")
    loading = upsert(database_url, "id", "parent", "note")
    loading.write(
        rows(
            id=[1, 2, 1, 3, 4, 5],
            parent=[1, 9, 9, 1, 1, 1],
            note=["first", "lost", "second", "bad", "ok", "gone"],
        ),
        partition=4,
    )
    assert loading.publish() == Resume(rows_loaded=2, rows_failed=3, rows_skipped=1)
    assert sorted(loading.cells) == [
        (2, "parent", 'No matching row for foreign key "t_parent_fkey"'),
        (3, "parent", 'No matching row for foreign key "t_parent_fkey"'),
        (4, None, "Not that"),
    ]
    assert run("SELECT id, note FROM t ORDER BY id") == [(1, "first"), (3, "old"), (4, "ok")]


def test_a_refused_row_knows_its_partition(database_url: str, run: Execute) -> None:
    run("CREATE TABLE t (id int PRIMARY KEY, code text UNIQUE, n int)")
    run("INSERT INTO t VALUES (1, 'a', 0), (2, 'b', 0), (3, 'c', 0)")
    loading = upsert(database_url, "id", "code", "n")
    loading.write(rows(first=1, id=[1, 7], code=["a", "c"], n=[1, 1]), partition=0)
    loading.write(rows(first=3, id=[3, 8, 9], code=["z", "new", "new"], n=[1, 1, 1]), partition=1)
    found: list[tuple[int, int]] = []

    def on_publish(published: Any) -> Resume:
        found.extend(published.rejects.select("row", "partition").rows())
        return Resume(rows_loaded=published.loaded, rows_failed=1, rows_skipped=published.skipped)

    assert loading.mode.publications() == 1
    assert loading.mode.publish(0, 0, on_publish).rows_loaded == 4
    assert found == [(5, 1)]
    # 7 takes the code that 3 gives up in the same load
    assert run("SELECT id, code, n FROM t ORDER BY id") == [
        (1, "a", 1),
        (2, "b", 0),
        (3, "z", 1),
        (7, "c", 1),
        (8, "new", 1),
    ]


def test_a_large_load_is_published_in_buckets_and_any_order(database_url: str, run: Execute) -> None:
    run("CREATE TABLE t (id numeric PRIMARY KEY, n int)")
    loading = upsert(database_url, "id", "n", planned_rows=1_000_000)
    assert loading.mode.publications() > 2
    loading.write(rows(id=list(range(1000)), n=[1] * 1000))
    loading.write(rows(first=1001, id=list(range(0, 1000, 2)), n=[2] * 500), partition=1)
    counted = [
        loading.mode.publish(0, index, loading._on_publish) for index in reversed(range(loading.mode.publications()))
    ]
    assert sum(each.rows_loaded for each in counted) == 1000
    assert sum(each.rows_skipped for each in counted) == 500
    assert min(each.rows_loaded for each in counted) > 0
    assert run("SELECT n, count(*) FROM t GROUP BY 1 ORDER BY 1") == [(1, 500), (2, 500)]


def test_another_attempt_keeps_to_the_buckets_of_the_first(database_url: str, run: Execute) -> None:
    run("CREATE TABLE t (id int PRIMARY KEY, n int)")
    first = upsert(database_url, "id", "n", planned_rows=1_000_000)
    first.write(rows(id=list(range(100)), n=[1] * 100))
    done = first.mode.publish(0, 0, first._on_publish)
    run("ALTER TABLE t ADD UNIQUE (id, n)")  # would be reason for a single bucket
    again = upsert(database_url, "id", "n", planned_rows=1_000_000, run_id="run_2", root="run_1")
    assert again.mode.publications() == first.mode.publications()
    assert again.mode.publish(0, 0, again._on_publish) == done
    again.publish()
    assert run("SELECT count(*) FROM t") == [(100,)]


def test_the_preview_asks_the_database_nothing() -> None:
    reported = MODES["upsert"](spec("postgresql://nowhere/x", ["id", "name"], upsert_key=("id",))).preview()
    assert reported.startswith('COPY "_headrace"."stage_')
    assert 'MERGE INTO "public"."t" AS t USING (SELECT DISTINCT ON ("id")' in reported
    assert '"name" = s."name"' in reported


def test_the_whole_load_helper_counts_upserts(database_url: str, run: Execute) -> None:
    run("CREATE TABLE t (id int PRIMARY KEY, n int)")
    load("upsert", spec(database_url, ["id", "n"], upsert_key=("id",)), rows(id=[1, 1], n=[1, 2]))
    assert run("SELECT id, n FROM t") == [(1, 2)]


def test_a_replay_settles_what_it_loads_and_what_is_superseded_in_it(database_url: str, run: Execute) -> None:
    run("CREATE TABLE t (id int PRIMARY KEY, n int, CHECK (n <> 7), code int UNIQUE)")
    loading = upsert(database_url, "id", "n", "code", run_id="run_2", root="run_2", origin_run_id="run_1")
    loading.write(rows(first=5, id=[1, 1, 2, 3], n=[1, 2, 3, 7], code=[1, 1, 2, 3]))
    loading.write(rows(first=90, id=[8], n=[1], code=[2]), partition=1)
    assert loading.publish() == Resume(rows_loaded=2, rows_failed=1, rows_skipped=1)
    settled = "SELECT array_agg(row_number ORDER BY row_number), min(run_id) FROM _headrace.replayed"
    assert run(settled) == [([5, 6, 7], "run_2")]


def test_a_parent_may_come_after_its_child(database_url: str, run: Execute) -> None:
    run("CREATE TABLE t (id int PRIMARY KEY, boss int REFERENCES t, n int UNIQUE)")
    loading = upsert(database_url, "id", "boss", "n", planned_rows=1_000_000)
    assert loading.mode.publications() == 1
    # 4 has no boss, and 5 the number of 1: both are refused, and nevertheless 2 finds its boss, which comes after it
    loading.write(rows(id=[2, 1, 4, 5], boss=[1, None, 9, None], n=[2, 1, 4, 1]))
    assert loading.publish() == Resume(rows_loaded=2, rows_failed=2)
    assert [cell[0] for cell in loading.cells] == [3, 4]
    assert run("SELECT id, boss FROM t ORDER BY id") == [(1, None), (2, 1)]


def test_thousands_of_refused_rows_are_found_at_once(database_url: str, run: Execute) -> None:
    run("CREATE TABLE t (id int PRIMARY KEY, code int UNIQUE)")
    run("INSERT INTO t SELECT -i, i FROM generate_series(1, 3000) i")
    loading = upsert(database_url, "id", "code")
    loading.write(rows(id=list(range(1, 6001)), code=list(range(1, 6001))))
    assert loading.publish() == Resume(rows_loaded=3000, rows_failed=3000)
    assert {error for _, _, error in loading.cells} == {'Duplicate value violates unique constraint "t_code_key"'}
