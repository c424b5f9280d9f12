"""blue_green: a new table in the place of the old one, like it in everything but its rows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.swap.shadow_table import describe_shadow, shadow_name
from headrace.connectors.postgresql.tables.describe import describe_table
from headrace.connectors.target import Resume
from tests.connectors.postgresql.modes.full_load import Load, Table, load, rows, spec
from tests.databases import as_superuser

pytestmark = pytest.mark.postgres


@pytest.fixture
def sql(database_url: str) -> Iterator[Table]:
    table = Table(database_url)
    yield table
    table.connection.close()


FILLED = ["a", "b", "o"]
EVERYTHING = """
CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other VALUES (1);
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.stamped := tg_op; RETURN new; END';
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''late''; END';
CREATE TABLE t (
  gone int, a int PRIMARY KEY, b text COLLATE "C" DEFAULT 'x' CHECK (b <> 'never'), s serial UNIQUE DEFERRABLE,
  i int GENERATED ALWAYS AS IDENTITY (START 100 INCREMENT 10), g int GENERATED ALWAYS AS (a * 2) STORED,
  o int REFERENCES other ON DELETE CASCADE, stamped text, r int4range, EXCLUDE USING gist (r WITH &&)
) WITH (fillfactor = 70, toast.autovacuum_enabled = false);
ALTER TABLE t DROP COLUMN gone;
ALTER TABLE t ALTER b SET STATISTICS 17, ALTER b SET (n_distinct = 5);
CREATE INDEX "by b" ON t (lower(b) DESC) WITH (fillfactor = 50) WHERE a > 0;
CREATE UNIQUE INDEX once ON t (a, b) INCLUDE (o) NULLS NOT DISTINCT;
ALTER TABLE t CLUSTER ON once;
ALTER TABLE t REPLICA IDENTITY FULL;
CREATE STATISTICS together (ndistinct) ON a, b FROM t;
CREATE TRIGGER stamp BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE TRIGGER note AFTER INSERT ON t FOR EACH ROW WHEN (new.b = ' ON public.t ') EXECUTE FUNCTION note();
ALTER TABLE t ENABLE ALWAYS TRIGGER note;
CREATE POLICY mine ON t AS RESTRICTIVE FOR UPDATE TO reader USING (b = current_user) WITH CHECK (a > 0);
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON t TO reader WITH GRANT OPTION; GRANT UPDATE (b) ON t TO PUBLIC;
COMMENT ON TABLE t IS 'all of it'; COMMENT ON COLUMN t.b IS 'b'; COMMENT ON INDEX once IS 'index';
COMMENT ON CONSTRAINT t_o_fkey ON t IS 'key'; COMMENT ON TRIGGER note ON t IS 'noted';
COMMENT ON POLICY mine ON t IS 'p';
CREATE PUBLICATION changes FOR TABLE t (a, b) WHERE (a > 0);
ALTER DEFAULT PRIVILEGES GRANT DELETE ON TABLES TO reader;
INSERT INTO t (a, o) VALUES (1, 1), (2, 1);
"""


@pytest.fixture
def reader(database_url: str, sql: Table) -> Iterator[None]:
    as_superuser(database_url, "DROP ROLE IF EXISTS reader; CREATE ROLE reader")
    # the publication is the tenant's own
    as_superuser(database_url, f"GRANT CREATE ON DATABASE {sql.connection.info.dbname} TO PUBLIC")
    yield
    as_superuser(database_url, "DROP OWNED BY reader; DROP ROLE reader")


@pytest.mark.usefixtures("reader")
def test_everything_about_the_table_is_as_it_was_but_its_rows(database_url: str, sql: Table) -> None:
    sql(EVERYTHING)
    begun = Load("blue_green", spec(database_url, FILLED)).begin()
    with sql.connection.transaction():
        before = describe_shadow(sql.connection, describe_table(sql.connection, "public.t"), FILLED)
    access = (
        "SELECT relacl::text, relowner, obj_description(oid, 'pg_class'), relkind FROM pg_class WHERE relname = 't'"
    )
    columns = (
        "SELECT attname, attacl::text, col_description(attrelid, attnum) FROM pg_attribute "
        "WHERE attrelid = 't'::regclass AND attnum > 0 AND NOT attisdropped"
    )
    was = sql(access), sql(columns), sql("SELECT indexdef FROM pg_indexes ORDER BY 1")
    begun.write(rows(a=[7, 8], b=["seven", None], o=[1, None]))
    assert begun.publish() == Resume(rows_loaded=2)
    after = describe_shadow(sql.connection, describe_table(sql.connection, "public.t"), FILLED)
    for step in ("make", "complete", "swap", "rename"):
        assert sorted(getattr(after, step)) == sorted(getattr(before, step)), step
    assert after.shape == before.shape
    indexes = [(each,) for (each,) in was[2] if "__new" not in each]
    assert (sql(access), sql(columns), sql("SELECT indexdef FROM pg_indexes ORDER BY 1")) == (*was[:2], indexes)
    # Sequences go on where they were, also under their names.
    assert sql("SELECT a, b, s, i, g, stamped FROM t ORDER BY a") == [
        (7, "seven", 3, 120, 14, "INSERT"),
        (8, None, 4, 130, 16, "INSERT"),
    ]
    sql("INSERT INTO t (a) VALUES (9)")
    assert sql("SELECT s, i FROM t WHERE a = 9") == [(5, 140)]
    assert sql("SELECT pg_get_serial_sequence('t', 's'), pg_get_serial_sequence('t', 'i')") == [
        ("public.t_s_seq", "public.t_i_seq")
    ]
    assert sql("SELECT relname FROM pg_class WHERE relname LIKE '%\\_\\_new%'") == []


@pytest.mark.parametrize(
    ("ddl", "says"),
    [
        ("CREATE VIEW v AS SELECT a FROM t", "view public.v"),
        ("CREATE MATERIALIZED VIEW v AS SELECT t FROM t", "materialized view public.v"),
        ("CREATE TABLE c (a int REFERENCES t)", 'foreign key "c_a_fkey" of public.c'),
        ("ALTER TABLE t ADD up int REFERENCES t", 'foreign key "t_up_fkey" to itself'),
        ("CREATE RULE r AS ON DELETE TO t DO INSTEAD NOTHING", 'rule "r"'),
        ("CREATE TABLE c () INHERITS (t)", "table public.c, which inherits from it"),
        ("CREATE TABLE c (x t)", "column x of table public.c"),
        ("CREATE FUNCTION f() RETURNS SETOF t LANGUAGE sql AS 'SELECT * FROM t'", r"function public.f\(\)"),
        ("CREATE FUNCTION f() RETURNS bigint LANGUAGE sql RETURN (SELECT count(a) FROM t)", r"function public.f\(\)"),
        (
            "DROP TABLE t; CREATE TABLE t (a int PRIMARY KEY) PARTITION BY RANGE (a)",
            "its being partitioned",
        ),
    ],
)
def test_what_would_lose_the_table_is_reported_before_anything_is_loaded(
    database_url: str, sql: Table, ddl: str, says: str
) -> None:
    sql("CREATE TABLE t (a int PRIMARY KEY)")
    sql(ddl)
    with pytest.raises(TargetError, match=f"cannot be swapped .*{says}.*Use loadMode replace"):
        Load("blue_green", spec(database_url, ["a"])).begin()
    assert sql("SELECT to_regclass('t__new')") == [(None,)]


def test_refused_rows_are_reported_with_their_batch_and_by_the_names_of_the_table(
    database_url: str, sql: Table
) -> None:
    sql("CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1)")
    sql("CREATE TABLE t (a int PRIMARY KEY, p int REFERENCES parent); CREATE UNIQUE INDEX halves ON t ((a / 2))")
    done = Load("blue_green", spec(database_url, ["a", "p"])).begin()
    done.write(rows(a=[10, 10, 20, 30, 31], p=[1, 1, 9, 1, 1]))
    assert done.cells == [
        (2, "a", 'Duplicate value violates unique constraint "t_pkey"'),
        (3, "p", 'No matching row for foreign key "t_p_fkey"'),
        (5, None, 'Duplicate value violates unique constraint "halves"'),
    ]
    assert done.publish() == Resume(rows_loaded=2)


@pytest.mark.parametrize("batch", [rows(a=[1]).clear(), rows(a=[None])])
def test_nothing_changes_when_no_rows_came(database_url: str, sql: Table, batch: Any) -> None:
    sql("CREATE TABLE t (a int NOT NULL); INSERT INTO t VALUES (1)")
    begun = Load("blue_green", spec(database_url, ["a"])).begin()
    begun.write(batch)
    with pytest.raises(TargetError, match=r"No rows came for public.t, so it was not changed"):
        begun.publish()
    assert sql("SELECT a FROM t") == [(1,)]


def test_a_table_of_somebody_else_is_never_dropped(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (a int); CREATE TABLE t__new (mine text); COMMENT ON TABLE t__new IS 'mine'")
    with pytest.raises(TargetError, match=r'need the name "public"."t__new", which another table has'):
        Load("blue_green", spec(database_url, ["a"])).begin()
    assert sql("SELECT count(*) FROM t__new") == [(0,)]


def test_what_a_dead_run_left_goes_with_the_next(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (a int)")
    dead = Load("blue_green", spec(database_url, ["a"])).begin()
    dead.write(rows(a=[1, 2]))
    load("blue_green", spec(database_url, ["a"], run_id="run_2"), rows(a=[3]))
    assert sql("SELECT a FROM t") == [(3,)]
    with pytest.raises(TargetError, match=r"is not this run's any more"):
        dead.publish()


def test_a_run_that_is_begun_again_goes_on_with_its_twin(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (a int)")
    Load("blue_green", spec(database_url, ["a"])).begin().write(rows(a=[1, 2]))
    again = Load("blue_green", spec(database_url, ["a"])).begin()
    assert again.write(rows(first=3, a=[3])).rows_done == 3
    assert again.publish() == Resume(rows_loaded=3)
    # And once more, after the swap: nothing is done twice, nothing is left.
    after = Load("blue_green", spec(database_url, ["a"])).begin()
    assert after.write().rows_done == 3
    assert after.publish() == Resume(rows_loaded=3)
    assert sql("SELECT a FROM t ORDER BY a") == [(1,), (2,), (3,)]
    assert sql("SELECT to_regclass('t__new')") == [(None,)]


def test_a_twin_that_is_gone_is_loaded_from_the_beginning(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (a int)")
    Load("blue_green", spec(database_url, ["a"])).begin().write(rows(a=[1, 2]))
    sql("DROP TABLE t__new")
    again = Load("blue_green", spec(database_url, ["a"])).begin()
    assert again.write(rows(a=[1, 2])).rows_done == 2
    assert again.publish() == Resume(rows_loaded=2)


def test_an_altered_table_is_not_replaced_by_what_it_was(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (a int)")
    begun = Load("blue_green", spec(database_url, ["a"])).begin()
    begun.write(rows(a=[1]))
    sql("ALTER TABLE t ADD b int")
    with pytest.raises(TargetError, match=r"public.t was altered while its new rows were loaded"):
        begun.publish()
    sql("ALTER TABLE t DROP b; CREATE VIEW v AS SELECT a FROM t")
    with pytest.raises(TargetError, match=r"because of view public.v"):
        begun.publish()
    # What rows do not meet may change until the swap.
    sql("DROP VIEW v; CREATE INDEX late ON t (a); COMMENT ON TABLE t IS 'late'")
    begun.publish()
    assert sql("SELECT obj_description('t'::regclass), indexname FROM pg_indexes WHERE tablename = 't'") == [
        ("late", "late")
    ]


def test_rows_that_somebody_else_put_into_the_twin_are_noticed(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    begun = Load("blue_green", spec(database_url, ["a"])).begin()
    begun.write(rows(a=[1, 2]))
    sql("INSERT INTO t__new VALUES (3)")
    with pytest.raises(TargetError, match="holds 3 rows, but 2 were loaded into it"):
        begun.publish()
    assert sql("SELECT a FROM t") == [(1,)]


def test_readers_wait_for_a_moment_at_most_and_none_gets_an_error(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    begun = Load("blue_green", spec(database_url, ["a"])).begin()
    begun.write(rows(a=[2, 3]))
    stop, seen, faults = threading.Event(), set[Any](), list[BaseException]()

    def read() -> None:
        with psycopg.connect(database_url, prepare_threshold=0, autocommit=True) as reader:
            while not stop.is_set():
                try:
                    seen.add(reader.execute("SELECT count(*), sum(a) FROM t").fetchone())
                except psycopg.Error as error:
                    faults.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    with psycopg.connect(database_url) as slow:
        slow.execute("SELECT FROM t")  # until the end of its transaction, the table cannot be swapped
        published = threading.Thread(target=begun.publish)
        for thread in (*readers, published):
            thread.start()
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
        while sql(waits) == [(0,)]:
            pass
        with psycopg.connect(database_url) as hasty:
            hasty.execute("SET lock_timeout = '5s'")  # queued after the swap, which gives up earlier
            assert hasty.execute("SELECT count(*) FROM t").fetchone() == (1,)
    published.join()
    while (2, 5) not in seen:
        pass
    stop.set()
    for thread in readers:
        thread.join()
    assert (seen, faults) == ({(1, 1), (2, 5)}, [])


def test_an_unlogged_table_stays_unlogged_and_is_counted_with_what_a_crash_empties(
    database_url: str, sql: Table
) -> None:
    sql("CREATE UNLOGGED TABLE t (a int)")
    begun = Load("blue_green", spec(database_url, ["a"])).begin()
    begun.write(rows(a=[1]))
    assert sql("SELECT rows_done FROM _headrace.staging_ledger") == [(1,)]
    begun.publish()
    assert sql("SELECT relpersistence::text FROM pg_class WHERE relname = 't'") == [("u",)]


def test_a_long_name_is_shortened_and_given_back(database_url: str, sql: Table) -> None:
    name = "t" * 63
    assert len(shadow_name(name)) == 63 > len(shadow_name("t" * 50))
    assert shadow_name(name) != shadow_name("t" * 62 + "u")
    sql(f"CREATE TABLE t (a int); ALTER TABLE t RENAME TO {name}; CREATE INDEX {'i' * 63} ON {name} (a)")
    from dataclasses import replace

    load("blue_green", replace(spec(database_url, ["a"]), table=f"public.{name}"), rows(a=[1]))
    assert sql(f"SELECT a FROM {name}") == [(1,)]
    assert sql("SELECT indexname FROM pg_indexes WHERE schemaname = 'public'") == [("i" * 63,)]


def test_what_a_trigger_keeps_out_is_skipped(database_url: str, sql: Table) -> None:
    sql("CREATE TABLE t (a int)")
    sql(
        "CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN RETURN CASE new.a % 2 WHEN 1 THEN new END; END'"
    )
    sql("CREATE TRIGGER odd BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION odd()")
    begun = Load("blue_green", spec(database_url, ["a"])).begin()
    assert begun.write(rows(a=[1, 2, 3])).rows_skipped == 1
    assert begun.publish() == Resume(rows_loaded=2)


def test_identities_continue_after_whichever_is_ahead(database_url: str, sql: Table) -> None:
    sql(
        "CREATE TABLE t (a int, up int GENERATED BY DEFAULT AS IDENTITY, "
        "down int GENERATED ALWAYS AS IDENTITY (INCREMENT -1))"
    )
    begun = Load("blue_green", spec(database_url, ["a"])).begin()
    begun.write(rows(a=[1]))
    sql("INSERT INTO t (a) VALUES (1), (2), (3)")
    begun.publish()
    sql("INSERT INTO t (a) VALUES (2)")
    assert sql("SELECT a, up, down FROM t ORDER BY a") == [(1, 1, -1), (2, 4, -4)]
