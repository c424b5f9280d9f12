"""Types without a binary encoder are cast by the server: all valid texts are accepted, all invalid cells are named."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.copy.copy_rows import copy_rows
from headrace.connectors.postgresql.copy.encode import check_dtype
from headrace.connectors.postgresql.copy.precheck import precheck
from headrace.connectors.postgresql.copy.rejected_rows import copy_accepted_rows
from headrace.connectors.postgresql.tables.describe import describe_table
from headrace.connectors.source import ROW
from tests.effort import examples

pytestmark = pytest.mark.postgres

TEXT = st.text(alphabet=st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=12)

SPELLINGS: list[tuple[str, dict[str, str], dict[str, str]]] = [
    (
        "interval",
        {"1 day 02:03": "1 day 02:03:00", "P1Y2M3DT4H5M6.5S": "1 year 2 mons 3 days 04:05:06.5", "-1 mons": "-1 mons"},
        {"soon": "Expected interval, such as 1 day 02:30:00 or P1DT2H30M"},
    ),
    (
        "inet",
        {"10.0.0.1": "10.0.0.1/32", "::1/64": "::1/64"},
        {"300.1.1.1": "Expected IP address, such as 10.0.0.1 or 10.0.0.0/8"},
    ),
    ("cidr", {"10.0.0.0/8": "10.0.0.0/8"}, {"10.0.0.1/8": "Expected network address, such as 10.0.0.0/8"}),
    ("macaddr", {"08002b010203": "08:00:2b:01:02:03"}, {"zz": "Expected MAC address, such as 08:00:2b:01:02:03"}),
    ("money", {"12.3": "$12.30", "$1,234.50": "$1,234.50"}, {"much": "Expected amount of money, such as 12.50"}),
    ("timetz", {"24:00:00+02": "24:00:00+02"}, {"noon?": "Expected time with time zone, such as 14:30:00+02"}),
    ("bit(3)", {"101": "101"}, {"10101": "Wrong length for bit(3)", "1x1": "Expected bits, such as 1011"}),
    ("varbit(4)", {"10": "10"}, {"10101": "Value too long for bit varying(4)"}),
    ("int4range", {"[1,5)": "[1,5)", "empty": "empty"}, {"(2,1]": "Expected a value of type int4range"}),
    ("tsvector", {"a fat cat": "'a' 'cat' 'fat'"}, {}),
    ("point", {"1,2": "(1,2)"}, {"here": "Expected a value of type point"}),
    ("pair", {'(1,"a b")': '(1,"a b")'}, {"(x,1)": "Expected a value of type pair"}),
    ('"char"', {"a": "a"}, {}),
    ("oid", {"42": "42"}, {"x": "Expected a value of type oid"}),
    (
        "int[]",
        {
            "{1,2}": "{1,2}",
            " [1, null, 3] ": "{1,NULL,3}",
            "[[1,2],[3,4]]": "{{1,2},{3,4}}",
            "[0:1]={7,8}": "[0:1]={7,8}",
            "[]": "{}",
        },
        dict.fromkeys(["{1,x}", "[1,", "1"], "Expected array (integer[]), such as {…,…} or a JSON list"),
    ),
    ("text[]", {'["a","b\\"c",null,"\\u00fc, }"]': '{a,"b\\"c",NULL,"ü, }"}'}, {}),
    ("varchar(3)[]", {'["ab"]': "{ab}"}, {"{abc,abcd}": "Value too long for character varying(3)[]"}),
    ("mood[]", {'["ok"]': "{ok}"}, {"{huh}": "Expected array (mood[]), such as {…,…} or a JSON list"}),
    ("moods", {"{sad,ok}": "{sad,ok}"}, {"{}": "Value violates a check of moods"}),
    ("jsonb[]", {'[{"a":1},[2],"x"]': '{"{\\"a\\": 1}",[2],"\\"x\\""}', "[]": "{}"}, {}),
    ("numeric[]", {"[1.12345678901234567890]": "{1.12345678901234567890}"}, {}),
    (
        "numeric",
        {"0.12345678901234567890123456789": "0.12345678901234567890123456789", "-inf": "-Infinity", "1" * 45: "1" * 45},
        {"1,5": "Expected decimal number"},
    ),
    (
        "numeric(50,20)",
        {f"{'1' * 30}.5": f"{'1' * 30}.5{'0' * 19}"},
        {"1" * 31: "Value out of range for numeric(50,20)"},
    ),
    ("numeric(5,-2)", {"12345": "12300"}, {"9999999": "Value out of range for numeric(5,-2)"}),
    ("jsonb", {'{"a":1.50}': '{"a": 1.50}'}, {"{bad": "Expected JSON"}),
]

BLANKS: dict[str, tuple[dict[str, str], list[str]]] = {
    "mood": ({}, ["", " "]),
    "blanks": ({"": ""}, ["  "]),
    "varbit(4)": ({"": ""}, ["  "]),
    "tsvector": ({"": "", "  ": ""}, []),
    '"char"': ({"": "", " ": " "}, []),
}
"""Types with blank values: how the server writes each, and the blank texts that are none."""

TYPED: dict[str, tuple[str, Any, st.SearchStrategy[Any]]] = {
    "text[]": ("text[]", pl.String, TEXT),
    "varchar[]": ("varchar(12)[]", pl.String, TEXT),
    "uuid[]": ("uuid[]", pl.String, st.uuids().map(str)),
    "mood[]": ("mood[]", pl.String, st.sampled_from(["sad", "ok"])),
    "bytea[]": ("bytea[]", pl.Binary, st.binary(max_size=5)),
    "numeric[]": (
        "numeric[]",
        pl.Decimal(30, 12),
        st.integers(-(10**29), 10**29).map(lambda value: Decimal(value).scaleb(-12)),
    ),
    "timestamptz[]": (
        "timestamptz[]",
        pl.Datetime("us", "UTC"),
        st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),
    ),
    "timestamp[]": ("timestamp[]", pl.Datetime("us"), st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))),
    "time[]": ("time[]", pl.Time, st.times()),
    "real[]": ("real[]", pl.Float32, st.integers(-(2**20), 2**20).map(lambda value: value / 2)),
    "interval[]": ("interval[]", pl.Duration("us"), st.timedeltas(timedelta(days=-9999), timedelta(days=9999))),
    "bigint[]": ("bigint[]", pl.Int64, st.integers(-(2**63), 2**63 - 1)),
    "double[]": ("float8[]", pl.Float64, st.floats(allow_nan=False)),
    "bool[]": ("bool[]", pl.Boolean, st.booleans()),
    "date[]": ("date[]", pl.Date, st.dates(date(1, 1, 1), date(9999, 12, 31))),
}


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True, prepare_threshold=None) as opened:
        opened.execute("CREATE TYPE mood AS ENUM ('sad', 'ok')")
        opened.execute("CREATE TYPE blanks AS ENUM ('', 'x')")
        opened.execute("CREATE DOMAIN moods AS mood[] CHECK (cardinality(value) > 0)")
        opened.execute("CREATE TYPE pair AS (a int, b text)")
        opened.execute("SET timezone = 'UTC'")
        yield opened


def load(connection: psycopg.Connection[Any], values: pl.Series) -> list[tuple[Any, ...]]:
    """Loads the column into table t as a load does; returns the rejects as (row, value, error)."""
    table = describe_table(connection, "t")
    frame = values.alias("a").to_frame().with_row_index(ROW, 1).with_columns(pl.col(ROW).cast(pl.Int64))
    check_dtype(table.columns[0], frame.schema["a"])
    good, rejects = precheck(frame, table.columns)
    with connection.transaction():
        try:
            with connection.transaction():
                copy_rows(connection, table.identifier, good, table.columns)
        except (psycopg.errors.DataError, psycopg.errors.IntegrityError):
            rejects = pl.concat([rejects, copy_accepted_rows(connection, table, good, table.columns)[0]])
    return rejects.sort("row").select("row", "value", "error").rows()


@pytest.mark.parametrize("ddl", BLANKS)
def test_a_blank_text_is_no_null_where_it_is_a_value_or_a_wrong_one(
    connection: psycopg.Connection[Any], ddl: str
) -> None:
    connection.execute(f"CREATE TABLE t (a {ddl})")  # type: ignore[arg-type]
    taken, refused = BLANKS[ddl]
    rejects = load(connection, pl.Series([*taken, *refused, None], dtype=pl.String))
    assert [value for _, value, _ in rejects] == refused
    stored = [row[0] for row in connection.execute("SELECT a::text FROM t").fetchall()]
    assert sorted(stored, key=str) == sorted([*taken.values(), None], key=str)


@pytest.mark.parametrize(("ddl", "taken", "refused"), SPELLINGS, ids=[ddl for ddl, _, _ in SPELLINGS])
def test_the_server_reads_what_it_writes_and_names_the_rest(
    connection: psycopg.Connection[Any], ddl: str, taken: dict[str, str], refused: dict[str, str]
) -> None:
    connection.execute(f"CREATE TABLE t (a {ddl})")  # type: ignore[arg-type]
    given = [*taken, *refused]
    rejects = load(connection, pl.Series([*given, "  " if ddl not in BLANKS else None, None], dtype=pl.String))
    assert rejects == [(given.index(value) + 1, value, error) for value, error in refused.items()]
    stored = [row[0] for row in connection.execute("SELECT a::text FROM t").fetchall()]
    assert stored == [*taken.values(), None, None]


@pytest.mark.parametrize("name", list(TYPED))
@pytest.mark.first_variant
def test_lists_of_anything_come_back_as_they_were(connection: psycopg.Connection[Any], name: str) -> None:
    ddl, inner, strategy = TYPED[name]
    connection.execute(f"CREATE TABLE t (a {ddl})")  # type: ignore[arg-type]
    lists = st.lists(st.none() | strategy, max_size=4)

    @settings(max_examples=8, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.none() | lists, max_size=6))
    def round_trip(values: list[Any]) -> None:
        connection.execute("TRUNCATE t")
        assert load(connection, pl.Series(values, dtype=pl.List(inner))) == []
        stored = [row[0] for row in connection.execute("SELECT a FROM t").fetchall()]
        assert [_plain(row) for row in stored] == values

    round_trip()


def _plain(stored: list[Any] | str | None) -> list[Any] | None:
    if stored is None:
        return None
    if isinstance(stored, str):  # an array of a type psycopg does not know: no element needs quotes
        return [None if each == "NULL" else each for each in stored.strip("{}").split(",") if each]
    return [str(each) if hasattr(each, "hex") and hasattr(each, "fields") else each for each in stored]


def test_lists_of_lists_are_arrays_of_two_dimensions(connection: psycopg.Connection[Any]) -> None:
    connection.execute("CREATE TABLE t (a text[])")
    values: list[Any] = [[["a", 'b"c'], [None, "{,}"]], [], None]
    assert load(connection, pl.Series(values, dtype=pl.List(pl.List(pl.String)))) == []
    assert [row[0] for row in connection.execute("SELECT a FROM t").fetchall()] == values


@settings(max_examples=examples(25), suppress_health_check=list(HealthCheck))
@given(st.lists(st.decimals(allow_nan=True, allow_infinity=True).map(str) | st.integers().map(str), max_size=8))
def test_text_goes_into_a_numeric_column_digit_by_digit(connection: psycopg.Connection[Any], values: list[str]) -> None:
    usable = [value for value in values if "sNaN" not in value and "-NaN" not in value and _reaches(value)]
    connection.execute("CREATE TABLE IF NOT EXISTS t (a numeric)")
    connection.execute("TRUNCATE t")
    assert load(connection, pl.Series(usable, dtype=pl.String)) == []
    stored = [row[0] for row in connection.execute("SELECT a FROM t").fetchall()]
    assert [str(value.normalize()) for value in stored] == [str(_exactly(value)) for value in usable]


def _reaches(value: str) -> bool:
    """Whether PostgreSQL's numeric holds it at all: at most 131,072 digits before the point and 16,383 after it."""
    number = Decimal(value)
    return not number.is_finite() or -16_000 < number.adjusted() < 100_000


def _exactly(value: str) -> Decimal:
    number = Decimal(value)
    return abs(number.normalize()) if number == 0 else number.normalize()


@settings(max_examples=examples(25), suppress_health_check=list(HealthCheck))
@given(st.lists(st.floats(), max_size=8))
def test_floats_go_into_a_numeric_column_as_a_person_would_write_them(
    connection: psycopg.Connection[Any], values: list[float]
) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS t (a numeric)")
    connection.execute("TRUNCATE t")
    assert load(connection, pl.Series(values, dtype=pl.Float64)) == []
    stored = [row[0] for row in connection.execute("SELECT a FROM t").fetchall()]
    assert [str(value.normalize()) for value in stored] == [str(_exactly(repr(value))) for value in values]


def test_a_declared_scale_rounds_halves_away_from_zero_and_is_never_exceeded(
    connection: psycopg.Connection[Any],
) -> None:
    connection.execute("CREATE TABLE t (a numeric(5,2))")
    assert load(connection, pl.Series([1.255, -1.245, 999.994, 999.995, 1e-9])) == [
        (4, "999.995", "Value out of range for numeric(5,2)")
    ]
    assert [str(row[0]) for row in connection.execute("SELECT a FROM t").fetchall()] == [
        "1.26", "-1.25", "999.99", "0.00"
    ]  # fmt: skip


def test_the_largest_number_of_a_numeric_column_fits(connection: psycopg.Connection[Any]) -> None:
    connection.execute("CREATE TABLE t (a numeric(20,0))")
    values = [Decimal("99999999999999999999"), Decimal("-99999999999999999999"), Decimal("100000000000000000000")]
    assert [row for row, _, _ in load(connection, pl.Series(values, dtype=pl.Decimal(38, 9)))] == [3]
    assert connection.execute("SELECT count(*), min(a) FROM t").fetchone() == (2, Decimal("-99999999999999999999"))


def test_bad_cells_in_several_columns_are_found_by_one_question_each(connection: psycopg.Connection[Any]) -> None:
    connection.execute("CREATE TABLE t (i int, a inet, b interval, c int[])")
    table = describe_table(connection, "t")
    count = 3000
    frame = pl.DataFrame(
        {
            "i": range(count),
            "a": ["nowhere" if n % 3 == 0 else "10.0.0.1" for n in range(count)],
            "b": ["never" if n % 5 == 0 else "1 hour" for n in range(count)],
            "c": ["{1" if n % 7 == 0 else "[1]" for n in range(count)],
            ROW: range(1, count + 1),
        },
        schema_overrides={ROW: pl.Int64},
    )
    good, none = precheck(frame, table.columns)
    assert none.is_empty()
    statements = 0
    execute = connection.execute

    def counting(*arguments: Any, **options: Any) -> Any:
        nonlocal statements
        statements += 1
        return execute(*arguments, **options)

    connection.execute = counting  # type: ignore[method-assign]
    try:
        with connection.transaction():
            rejects, _ = copy_accepted_rows(connection, table, good, table.columns)
    finally:
        connection.execute = execute  # type: ignore[method-assign]
    expected = {(n + 1, "a") for n in range(0, count, 3)}
    expected |= {(n + 1, "b") for n in range(0, count, 5)} | {(n + 1, "c") for n in range(0, count, 7)}
    assert set(rejects.select("row", "column").rows()) == expected
    bad = len({row for row, _ in expected})
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (count - bad,)
    assert statements < 40


def test_only_tables_that_need_it_have_their_rows_staged(connection: psycopg.Connection[Any]) -> None:
    staged = "SELECT count(*) FROM pg_class WHERE relname LIKE '\\_headrace\\_cast%'"
    connection.execute("CREATE TABLE t (a numeric)")
    load(connection, pl.Series(["1.5", "-2.25"]))
    assert connection.execute(staged).fetchone() == (0,)
    load(connection, pl.Series(["NaN"]))
    load(connection, pl.Series(["Infinity"]))
    assert connection.execute(staged).fetchone() == (1,)
    assert connection.execute("SELECT a::text FROM t").fetchall() == [("1.50",), ("-2.25",), ("NaN",), ("Infinity",)]


def test_defaults_and_identity_are_filled_for_staged_rows_too(connection: psycopg.Connection[Any]) -> None:
    connection.execute(
        "CREATE TABLE t (a inet, id int GENERATED ALWAYS AS IDENTITY, w text DEFAULT 'given', "
        "g text GENERATED ALWAYS AS (host(a)) STORED)"
    )
    table = describe_table(connection, "t")
    frame = pl.DataFrame({"a": ["10.0.0.1", "10.0.0.2"], ROW: [1, 2]})
    good, _ = precheck(frame, table.columns[:1])
    copy_rows(connection, table.identifier, good, table.columns[:1])
    assert connection.execute("SELECT id, w, g FROM t").fetchall() == [
        (1, "given", "10.0.0.1"),
        (2, "given", "10.0.0.2"),
    ]


def test_a_number_does_not_go_into_a_date_column(connection: psycopg.Connection[Any]) -> None:
    connection.execute("CREATE TABLE t (a date)")
    with pytest.raises(TargetError, match="has type date, but the data has int64"):
        load(connection, pl.Series([1]))


def test_bytes_may_be_written_as_text_or_as_the_hex_that_postgresql_writes(connection: psycopg.Connection[Any]) -> None:
    connection.execute("CREATE TABLE t (a bytea)")
    assert load(connection, pl.Series(["\\x0aff", "ab", "\\xzz", None])) == [
        (3, "\\xzz", "Expected bytes, such as \\x0aff")
    ]
    assert connection.execute("SELECT a FROM t").fetchall() == [(b"\x0a\xff",), (b"ab",), (None,)]
