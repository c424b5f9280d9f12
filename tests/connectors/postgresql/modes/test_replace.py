"""replace and truncate: the table holds exactly the new rows, or exactly the old ones."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from headrace.connectors.errors import TargetError
from headrace.connectors.target import Resume
from tests.connectors.postgresql.modes.full_load import Load, Table, load, rows, spec

pytestmark = pytest.mark.postgres

BOTH = pytest.mark.parametrize("mode", ["replace", "truncate"])


@pytest.fixture
def sql(database_url: str) -> Iterator[Table]:
    table = Table(database_url)
    yield table
    table.connection.close()


@BOTH
def test_the_new_rows_are_there_and_the_old_ones_are_not(database_url: str, sql: Table, mode: str) -> None:
    sql("CREATE TABLE t (a int PRIMARY KEY, b text NOT NULL DEFAULT 'given', n serial, CHECK (b <> 'never'))")
    sql("INSERT INTO t (a) VALUES (1), (2)")
    done = load(mode, spec(database_url, ["a"]), rows(a=[2, 3]), rows(first=3, a=[4]))
    assert done.cells == []
    # Serial numbers go on.
    assert sql("SELECT a, b, n FROM t ORDER BY a") == [(2, "given", 3), (3, "given", 4), (4, "given", 5)]
    assert sql("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'stage%'") == [(0,)]


@BOTH
def test_nothing_changes_when_no_rows_came(database_url: str, sql: Table, mode: str) -> None:
    sql("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    for batch in (rows(a=[1]).clear(), rows(a=[None])):
        sql("ALTER TABLE t ALTER a SET NOT NULL")
        begun = Load(mode, spec(database_url, ["a"], run_id=f"run_{batch.height}")).begin()
        begun.write(batch)
        with pytest.raises(TargetError, match=r"No rows came for public.t, so it was not changed"):
            begun.publish()
    assert sql("SELECT a FROM t") == [(1,)]


@pytest.mark.parametrize("mode", ["replace", "truncate", "blue_green"])
def test_a_source_without_rows_empties_the_table_where_the_target_allows_it(
    database_url: str, sql: Table, mode: str
) -> None:
    sql("CREATE TABLE t (a int NOT NULL); INSERT INTO t VALUES (1)")
    failing = Load(mode, spec(database_url, ["a"], run_id="run_1", allow_empty=True)).begin()
    failing.write(rows(a=[None]))
    with pytest.raises(TargetError, match=r"No rows came for public.t, so it was not changed"):
        failing.publish()
    assert sql("SELECT a FROM t") == [(1,)]  # there was a row, and it failed
    empty = Load(mode, spec(database_url, ["a"], run_id="run_2", allow_empty=True)).begin()
    empty.write(rows(a=[1]).clear())
    assert empty.publish().rows_loaded == 0
    assert sql("SELECT a FROM t") == []


@BOTH
def test_rows_the_table_refuses_are_reported_and_the_others_replace_it(
    database_url: str, sql: Table, mode: str
) -> None:
    sql("CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1)")
    sql("CREATE TABLE t (a int PRIMARY KEY, p int REFERENCES parent, EXCLUDE (abs(a) WITH =))")
    sql("INSERT INTO t VALUES (9, 1)")
    done = Load(mode, spec(database_url, ["a", "p"])).begin()
    done.write(rows(a=[1, 2], p=[1, 7]))
    done.write(rows(first=3, a=[1, 3, -3], p=[1, 1, 1]), partition=1)
    assert done.publish() == Resume(rows_loaded=2, rows_failed=3)
    assert done.cells == [
        (2, "p", 'No matching row for foreign key "t_p_fkey"'),
        (3, "a", 'Duplicate value violates unique constraint "t_pkey"'),
        (5, None, 'Value violates exclusion constraint "t_abs_excl"'),
    ]
    assert sql("SELECT a FROM t ORDER BY a") == [(1,), (3,)]


@BOTH
def test_a_table_whose_every_new_row_is_refused_keeps_the_old_ones(database_url: str, sql: Table, mode: str) -> None:
    sql("CREATE TABLE parent (id int PRIMARY KEY)")
    sql("CREATE TABLE t (p int REFERENCES parent); INSERT INTO t VALUES (NULL)")
    begun = Load(mode, spec(database_url, ["p"])).begin()
    begun.write(rows(p=[1, 2]))
    with pytest.raises(TargetError, match=r"The database refused every row for public.t"):
        begun.publish()
    assert [row for row, *_ in begun.cells] == [1, 2]
    assert sql("SELECT p FROM t") == [(None,)]


def test_readers_of_replace_see_the_old_rows_until_the_new_ones_are_there(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    begun = Load("replace", spec(database_url, ["a"])).begin()
    begun.write(rows(a=[2, 3]))
    with psycopg.connect(database_url) as reader, psycopg.connect(database_url) as early:
        early.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert early.execute("SELECT sum(a) FROM t").fetchone() == (1,)
        reader.execute("SET lock_timeout = '1ms'")
        looked = []
        on_publish = begun._on_publish

        def look(published: object) -> Resume:
            looked.append(reader.execute("SELECT sum(a) FROM t").fetchone())
            return on_publish(published)  # type: ignore[arg-type]

        begun._on_publish = look  # type: ignore[method-assign]
        begun.publish()
        assert looked == [(1,)]
        assert reader.execute("SELECT sum(a) FROM t").fetchone() == (5,)
        assert early.execute("SELECT sum(a) FROM t").fetchone() == (1,)


def test_rows_that_others_refer_to_are_not_deleted_under_them(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
    sql("CREATE TABLE child (a int REFERENCES t ON DELETE CASCADE); INSERT INTO child VALUES (1), (NULL)")
    for number, mode in enumerate(("replace", "truncate")):
        begun = Load(mode, spec(database_url, ["a"], run_id=f"run_{number}")).begin()
        begun.write(rows(a=[1, 3]))
        with pytest.raises(TargetError, match=r"public.child refer to public.t .* would be deleted with them"):
            begun.publish()
    assert sql("SELECT a FROM t ORDER BY a") == [(1,), (2,)]
    assert sql("SELECT count(*) FROM child") == [(2,)]


@BOTH
def test_a_table_that_only_could_be_referred_to_is_replaced(database_url: str, sql: Table, mode: str) -> None:
    sql("CREATE TABLE t (a int PRIMARY KEY, up int REFERENCES t); INSERT INTO t VALUES (1, NULL), (2, 1)")
    sql("CREATE TABLE child (a int REFERENCES t); INSERT INTO child VALUES (NULL)")
    load(mode, spec(database_url, ["a", "up"]), rows(a=[1, 3], up=[3, None]))
    assert sql("SELECT a, up FROM t ORDER BY a") == [(1, 3), (3, None)]


@BOTH
def test_deferrable_keys_are_evaluated_when_the_new_rows_are_there(database_url: str, sql: Table, mode: str) -> None:
    sql("CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
    sql("CREATE TABLE child (a int REFERENCES t DEFERRABLE); INSERT INTO child VALUES (1)")
    load(mode, spec(database_url, ["a"]), rows(a=[1, 3]))
    assert sql("SELECT a FROM t ORDER BY a") == [(1,), (3,)]
    begun = Load(mode, spec(database_url, ["a"], run_id="run_2")).begin()
    begun.write(rows(a=[4]))
    with pytest.raises(TargetError, match=r"public.child refers to rows of public.t that would be gone .*\(a\)=\(1\)"):
        begun.publish()
    assert sql("SELECT a FROM t ORDER BY a") == [(1,), (3,)]


@BOTH
def test_what_a_trigger_keeps_out_is_skipped(database_url: str, sql: Table, mode: str) -> None:
    sql("CREATE TABLE t (a int)")
    sql(
        "CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN RETURN CASE new.a % 2 WHEN 1 THEN new END; END'"
    )
    sql("CREATE TRIGGER odd BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION odd()")
    begun = Load(mode, spec(database_url, ["a"])).begin()
    begun.write(rows(a=[1, 2, 3]))
    assert begun.publish() == Resume(rows_loaded=2, rows_skipped=1)


@BOTH
def test_publishing_twice_changes_the_table_once(database_url: str, sql: Table, mode: str) -> None:
    sql("CREATE TABLE t (a int)")
    begun = load(mode, spec(database_url, ["a"]), rows(a=[1, 2]))
    sql("INSERT INTO t VALUES (3)")
    again = Load(mode, spec(database_url, ["a"])).begin()
    assert again.write().rows_done == 2
    assert again.publish() == begun.mode.publish(0, 0, begun._on_publish) == Resume(rows_loaded=2)
    assert sql("SELECT a FROM t ORDER BY a") == [(1,), (2,), (3,)]


@BOTH
def test_a_partitioned_table_is_replaced_in_all_its_partitions(database_url: str, sql: Table, mode: str) -> None:
    sql("CREATE TABLE t (a int) PARTITION BY RANGE (a)")
    sql("CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10)")
    sql("CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20)")
    sql("INSERT INTO t VALUES (1), (11)")
    done = Load(mode, spec(database_url, ["a"])).begin()
    done.write(rows(a=[2, 12, 99]))
    assert done.publish() == Resume(rows_loaded=2, rows_failed=1)
    assert sql("SELECT a FROM t1 UNION ALL SELECT a FROM t2") == [(2,), (12,)]


def test_the_preview_is_what_happens(database_url: str) -> None:
    shown = Load("replace", spec(database_url, ["a"])).mode.preview().splitlines()
    assert shown[0].startswith('COPY "_headrace"."stage_')
    assert shown[1:3] == ["BEGIN;", 'DELETE FROM "public"."t";']
    assert shown[3].startswith(
        'INSERT INTO "public"."t" ("a", "_headrace_load_id") SELECT "a", "_headrace_load_id" FROM'
    )
    assert 'TRUNCATE "public"."t";' in Load("truncate", spec(database_url, ["a"])).mode.preview()
