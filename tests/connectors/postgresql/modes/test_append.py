"""append: counted rows are in the table, refused rows are explained, and nothing is loaded twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.load.loader import CopyLoader, Destination, PartitionRef
from headrace.connectors.postgresql.modes import MODES, LoadSpec, RetryPolicy
from headrace.connectors.postgresql.tables.describe import LOAD_ID, describe_table
from headrace.connectors.source import ROW
from headrace.connectors.target import Resume, Written

pytestmark = pytest.mark.postgres

KILL_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
)
Execute = Callable[[str], list[tuple[object, ...]]]


@pytest.fixture
def run(database_url: str) -> Iterator[Execute]:
    """Runs a statement on a connection of its own."""
    with psycopg.connect(database_url, autocommit=True) as connection:

        def execute(statement: str) -> list[tuple[object, ...]]:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

        yield execute


def spec(url: str, *columns: str, run_id: str = "run_1") -> LoadSpec:
    return LoadSpec(
        url, "public.t", columns, "run_1", run_id, "pipe_1", 3, "tgt", retry=RetryPolicy(attempts=4, first_pause=0.05)
    )


def rows(first: int = 1, **columns: list[object]) -> pl.DataFrame:
    frame = pl.DataFrame(columns, strict=False)
    return frame.with_columns(pl.int_range(first, first + frame.height, dtype=pl.Int64).alias(ROW))


def counting(loader_resume: Resume, frame: pl.DataFrame) -> Callable[[Written], Resume]:
    """A commit callback that counts as a run does."""

    def on_commit(written: Written) -> Resume:
        return Resume(
            loader_resume.rows_done + frame.height,
            loader_resume.rows_loaded + written.loaded,
            loader_resume.rows_failed + written.rejects.get_column("row").n_unique(),
        )

    return on_commit


def load(the_spec: LoadSpec, *frames: pl.DataFrame, partition: int = 0) -> list[Written]:
    mode = MODES["append"](the_spec)
    mode.begin()
    written = []
    with mode.loader(0, partition, "src") as loader:
        for frame in frames:
            written.append(loader.write(frame, counting(loader.resume, frame)))
    mode.finish()
    return written


def test_rows_and_ledger_are_committed_together(database_url: str, run: Execute) -> None:
    run("CREATE TABLE t (a int, b text, c text DEFAULT 'given', d int GENERATED ALWAYS AS (a * 2) STORED)")
    load(spec(database_url, "a", "b"), rows(a=[1, 2], b=["x", None]), rows(first=3, a=[3], b=["ü"]))
    assert run("SELECT a, b, c, d FROM t ORDER BY a") == [
        (1, "x", "given", 2),
        (2, None, "given", 4),
        (3, "ü", "given", 6),
    ]
    assert run("SELECT rows_done, rows_loaded, rows_failed FROM _headrace.ledger") == [(3, 3, 0)]
    assert run(
        f"SELECT DISTINCT l.run_id, l.ir_version, l.source_node FROM t JOIN _headrace.loads l ON load_id = {LOAD_ID}"
    ) == [("run_1", 3, "src")]


def test_a_second_loader_continues_after_the_ledger(database_url: str, run: Execute) -> None:
    run("CREATE TABLE t (a int)")
    load(spec(database_url, "a"), rows(a=[1, 2]))
    with MODES["append"](spec(database_url, "a", run_id="run_2")).loader(0, 0, "src") as again:
        assert (again.resume.rows_done, again.resume.rows_loaded) == (2, 2)
    assert run("SELECT count(*) FROM _headrace.loads") == [(2,)]


def test_an_empty_batch_moves_the_ledger(database_url: str, run: Execute) -> None:
    run("CREATE TABLE t (a int)")
    mode = MODES["append"](spec(database_url, "a"))
    mode.begin()
    with mode.loader(0, 0, "src") as loader:
        loader.write(rows(a=[1]).clear(), lambda written: Resume(rows_done=7, counters={"x": 1}))
        assert loader.resume.rows_done == 7
    assert run("SELECT rows_done, counters FROM _headrace.ledger") == [(7, {"x": 1})]


def test_a_failing_callback_takes_the_rows_back(database_url: str, run: Execute) -> None:
    run("CREATE TABLE t (a int)")
    mode = MODES["append"](spec(database_url, "a"))
    mode.begin()

    def refuse(written: Written) -> Resume:
        raise ValueError("the recorder is away")

    with mode.loader(0, 0, "src") as loader:
        with pytest.raises(ValueError, match="recorder"):
            loader.write(rows(a=[1]), refuse)
        loader.write(rows(a=[2]), lambda written: Resume(rows_done=1))
    assert run("SELECT a FROM t") == [(2,)]


def test_cells_the_database_would_refuse_are_named(database_url: str, run: Execute) -> None:
    run("CREATE TYPE mood AS ENUM ('sad', 'ok')")
    run("CREATE TABLE t (a smallint, b varchar(3) NOT NULL, m mood, u uuid, n numeric(4,1), x text)")
    frame = rows(
        a=[1, 70000, 3, 4, 5, 6, 7, 8],
        b=["abc", "b", None, "toolong", "ünü", "pad   ", "x", "y"],
        m=["ok", "ok", "ok", "ok", "angry", None, "sad", "ok"],
        u=[None, None, None, None, None, "no", None, None],
        n=[1.5, None, None, None, None, None, 1234.5, 999.94],
        x=["a", "a", "a", "a", "a", "a", "a", "a\0b"],
    )
    (written,) = load(spec(database_url, "a", "b", "m", "u", "n", "x"), frame)
    assert written.loaded == 1
    assert run("SELECT a, b, m::text, n::text FROM t") == [(1, "abc", "ok", "1.5")]
    found = {(row, column): (error, rule) for row, column, _, error, rule in written.rejects.rows()}
    assert found == {
        (2, "a"): ("Value out of range for smallint", "22003"),
        (3, "b"): ('Null value in column "b"', "not_null"),
        (4, "b"): ("Value too long for character varying(3)", "22001"),
        (5, "m"): ("Invalid value for enum mood", "22P02"),
        (6, "u"): ("Expected UUID", "22P02"),
        (7, "n"): ("Value out of range for numeric(4,1)", "22003"),
        (8, "x"): ("Text holds a NUL byte, which PostgreSQL cannot store", "22021"),
    }


def test_constraints_reject_exactly_their_rows(database_url: str, run: Execute) -> None:
    run("CREATE TABLE parent (id int PRIMARY KEY)")
    run("INSERT INTO parent SELECT generate_series(1, 10)")
    run("CREATE TABLE t (id int PRIMARY KEY, p int REFERENCES parent, v int CONSTRAINT positive CHECK (v > 0))")
    run("INSERT INTO t VALUES (5, 1, 1)")
    frame = rows(
        id=[1, 1, 2, 3, 4, 5, 6, 7],
        p=[1, 1, 11, 3, None, 5, 6, 7],
        v=[1, 1, 1, 0, None, 1, 1, -1],
    )
    (written,) = load(spec(database_url, "id", "p", "v"), frame)
    assert written.loaded == 3
    assert run("SELECT id FROM t ORDER BY id") == [(1,), (4,), (5,), (6,)]
    assert [(row, column, value, error, rule) for row, column, value, error, rule in written.rejects.rows()] == [
        (2, "id", "1", 'Duplicate value violates unique constraint "t_pkey"', "t_pkey"),
        (3, "p", "11", 'No matching row for foreign key "t_p_fkey"', "t_p_fkey"),
        (4, "v", "0", 'Value violates check constraint "positive"', "positive"),
        (6, "id", "5", 'Duplicate value violates unique constraint "t_pkey"', "t_pkey"),
        (8, "v", "-1", 'Value violates check constraint "positive"', "positive"),
    ]


def test_a_batch_of_nothing_but_duplicates_needs_few_statements(database_url: str, run: Execute) -> None:
    run("CREATE TABLE t (id int PRIMARY KEY)")
    numbers = list(range(20_000))
    first, second = load(spec(database_url, "id"), rows(id=numbers), rows(first=20_001, id=numbers))
    assert (first.loaded, second.loaded) == (20_000, 0)
    assert second.rejects["row"].to_list() == list(range(20_001, 40_001))
    assert run("SELECT count(*) FROM t") == [(20_000,)]


def test_what_only_the_server_can_evaluate_is_narrowed_down(database_url: str, run: Execute) -> None:
    run("CREATE TABLE t (id int, j jsonb, k text)")
    run("CREATE UNIQUE INDEX only_lower ON t (lower(k))")
    run(
        "CREATE FUNCTION no_13() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF NEW.id = 13 THEN RAISE EXCEPTION 'unlucky'; END IF; RETURN NEW; END $$"
    )
    run("CREATE TRIGGER no_13 BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION no_13()")
    ids = list(range(300))
    frame = rows(
        id=ids,
        j=["{bad" if number in (0, 150, 151, 299) else '{"n": 1}' for number in ids],
        k=["K7" if number == 200 else f"k{number}" for number in ids],
    )
    (written,) = load(spec(database_url, "id", "j", "k"), frame)
    found = {row: (column, error, rule) for row, column, _, error, rule in written.rejects.rows()}
    assert set(found) == {1, 14, 151, 152, 201, 300}
    assert found[1] == ("j", "Expected JSON", "22P02")
    assert found[14] == (None, "Unlucky", "P0001")
    assert found[201][1:] == ('Duplicate value violates unique constraint "only_lower"', "only_lower")
    assert written.loaded == 294
    assert run("SELECT count(*) FROM t") == [(294,)]


KEEPS_OUT = """
CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN CASE new.a % 2 WHEN 1 THEN new END; END';
CREATE TRIGGER odd BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION odd();
"""


@pytest.mark.parametrize(
    ("table", "on"),
    [
        ("CREATE TABLE t (a int, j jsonb)", "t"),
        ("CREATE TABLE t (a int, j circle)", "t"),
        (
            "CREATE TABLE t (a int, j jsonb) PARTITION BY RANGE (a); CREATE TABLE t_1 PARTITION OF t DEFAULT",
            "t_1",
        ),
    ],
)
def test_what_a_trigger_keeps_out_is_skipped(database_url: str, run: Execute, table: str, on: str) -> None:
    run(f"{table}; {KEEPS_OUT.format(on)}")
    (written,) = load(spec(database_url, "a", "j"), rows(a=[1, 2, 3, 4, 5], j=[None] * 5))
    assert (written.loaded, written.skipped, written.kept_out, written.passed_on) == (3, 2, 2, 0)
    assert run("SELECT a FROM t ORDER BY a") == [(1,), (3,), (5,)]


def test_what_a_trigger_keeps_out_beside_refused_rows_is_skipped(database_url: str, run: Execute) -> None:
    run(f"CREATE TABLE t (a int UNIQUE); {KEEPS_OUT.format('t')}")
    (written,) = load(spec(database_url, "a"), rows(a=[1, 2, 3, 1, 5]))
    assert (written.loaded, written.skipped, written.kept_out, written.rejects["row"].to_list()) == (3, 1, 1, [4])
    assert run("SELECT a FROM t ORDER BY a") == [(1,), (3,), (5,)]


def test_rows_of_partitions_are_counted_as_usual(database_url: str, run: Execute) -> None:
    run("CREATE TABLE t (a int) PARTITION BY RANGE (a); CREATE TABLE t_1 PARTITION OF t DEFAULT")
    (written,) = load(spec(database_url, "a"), rows(a=[1, 2]))
    assert (written.loaded, written.skipped, written.passed_on) == (2, 0, 0)


def test_rows_that_a_trigger_inserts_into_an_inheriting_table_are_not_lost(database_url: str, run: Execute) -> None:
    run(
        "CREATE TABLE t (a int); CREATE TABLE t_even () INHERITS (t);"
        "CREATE FUNCTION route() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF new.a % 2 = 1 THEN RETURN new; END IF; INSERT INTO t_even VALUES (new.*); RETURN NULL; END $$;"
        "CREATE TRIGGER route BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION route()"
    )
    (written,) = load(spec(database_url, "a"), rows(a=[1, 2, 3]))
    assert (written.loaded, written.skipped, written.kept_out, written.passed_on) == (3, 0, 0, 1)
    assert run("SELECT a FROM t ORDER BY a") == [(1,), (2,), (3,)]


def test_a_connection_lost_before_the_commit_loads_the_batch_again(database_url: str, run: Execute) -> None:
    run("CREATE TABLE t (a int)")
    mode = MODES["append"](spec(database_url, "a"))
    mode.begin()
    calls = []

    def on_commit(written: Written) -> Resume:
        calls.append(written.loaded)
        if len(calls) == 1:
            run(KILL_OTHERS)
        return Resume(rows_done=2, rows_loaded=written.loaded)

    with mode.loader(0, 0, "src") as loader:
        assert loader.write(rows(a=[1, 2]), on_commit).loaded == 2
    assert calls == [2, 2]
    assert run("SELECT a FROM t ORDER BY a") == [(1,), (2,)]
    assert run("SELECT rows_done, rows_loaded FROM _headrace.ledger") == [(2, 2)]


def test_a_connection_lost_after_the_commit_does_not_load_twice(
    database_url: str, run: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("CREATE TABLE t (a int)")
    mode = MODES["append"](spec(database_url, "a"))
    mode.begin()
    calls = []

    def on_commit(written: Written) -> Resume:
        calls.append(written.loaded)
        return Resume(rows_done=2, rows_loaded=written.loaded)

    original = CopyLoader._settle
    broken = []

    def settle(self: CopyLoader, state: object) -> Written:
        if not broken:
            broken.append(True)
            raise psycopg.OperationalError("server closed the connection unexpectedly")  # the answer to COMMIT is lost
        return original(self, state)  # type: ignore[arg-type]

    monkeypatch.setattr(CopyLoader, "_settle", settle)
    with mode.loader(0, 0, "src") as loader:
        assert loader.write(rows(a=[1, 2]), on_commit).loaded == 2
        assert loader.resume.rows_done == 2
    assert (calls, broken) == ([2], [True])
    assert run("SELECT a FROM t ORDER BY a") == [(1,), (2,)]


def test_two_loaders_of_one_partition_do_not_both_load(database_url: str, run: Execute) -> None:
    run("CREATE TABLE t (a int)")
    mode = MODES["append"](spec(database_url, "a"))
    mode.begin()
    with mode.loader(0, 0, "src") as one, mode.loader(0, 0, "src") as other:
        one.write(rows(a=[1]), lambda written: Resume(rows_done=1, rows_loaded=1))
        with pytest.raises(TargetError) as caught:
            other.write(rows(a=[1]), lambda written: Resume(rows_done=1, rows_loaded=1))
    assert caught.value.code == "ledger_moved"
    assert run("SELECT a FROM t") == [(1,)]


def test_a_database_that_stays_away_ends_in_a_clear_error(database_url: str, run: Execute) -> None:
    run("CREATE TABLE t (a int)")
    MODES["append"](spec(database_url, "a")).begin()
    pauses: list[float] = []
    gone = make_conninfo(database_url, dbname="gone_away")
    loader = CopyLoader(
        spec(gone, "a"), PartitionRef(0, 0, "src"), Destination("public.t", "run_1"), sleep=pauses.append
    )
    with pytest.raises(TargetError) as caught:
        loader.__enter__()
    assert caught.value.code == "database_unavailable"
    assert "gone_away" in caught.value.message
    assert len(pauses) == 3
    assert pauses[2] > pauses[0]


@pytest.mark.parametrize(
    ("ddl", "columns", "code", "reported"),
    [
        ("CREATE TABLE other (a int)", ("a",), "table_not_found", "public.t does not exist"),
        ("CREATE TABLE t (a int, b int NOT NULL)", ("a",), "missing_required_column", "'b'"),
        ("CREATE TABLE t (alpha int)", ("alpa",), "unknown_column", "Did you mean 'alpha'"),
        ("CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY)", ("a",), "generated_column", "always generated"),
        ("CREATE VIEW t AS SELECT 1 AS a", ("a",), "not_a_table", "not a table"),
    ],
)
def test_a_target_that_cannot_take_the_load_is_refused_before_the_first_byte(
    database_url: str, run: Execute, ddl: str, columns: tuple[str, ...], code: str, reported: str
) -> None:
    run(ddl)
    with pytest.raises(TargetError) as caught:
        MODES["append"](spec(database_url, *columns)).begin()
    assert caught.value.code == code
    assert reported in str(caught.value)


def test_text_does_not_go_into_a_number_column(database_url: str, run: Execute) -> None:
    run("CREATE TABLE t (a int)")
    with pytest.raises(TargetError) as caught:
        load(spec(database_url, "a"), rows(a=["1"]))
    assert caught.value.code == "type_mismatch"


def test_a_table_is_described_with_what_a_load_must_know(database_url: str, run: Execute) -> None:
    run("CREATE DOMAIN short AS varchar(5) NOT NULL")
    run("CREATE TYPE mood AS ENUM ('sad', 'ok')")
    run(
        "CREATE TABLE t (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, s short, n numeric(10,2), m mood, "
        "w timestamptz DEFAULT now(), g int GENERATED ALWAYS AS (1) STORED, x numeric, tags text[], UNIQUE (s, n))"
    )
    table = describe_table(database_url, "t")
    shown = [(c.name, c.type_name, c.sql_type, c.nullable, c.automatic, c.generated) for c in table.columns]
    assert shown == [
        ("id", "int8", "bigint", False, True, False),
        ("s", "varchar", "short", False, False, False),
        ("n", "numeric", "numeric(10,2)", True, False, False),
        ("m", "enum", "mood", True, False, False),
        ("w", "timestamptz", "timestamp with time zone", True, True, False),
        ("g", "int4", "integer", True, True, True),
        ("x", "numeric", "numeric", True, False, False),
        ("tags", "_text", "text[]", True, False, False),
    ]
    assert (table.columns[1].length, table.columns[2].precision, table.columns[2].scale) == (5, 10, 2)
    assert table.columns[3].labels == ("sad", "ok")
    assert table.keys == (("id",), ("s", "n"))
    assert [c.field.data_type for c in table.columns[:5]] == ["bigint", "varchar", "decimal", "text", "timestamptz"]
    with pytest.raises(TargetError, match=r"does not exist. Create it first"):
        describe_table(database_url, "public.tt")
