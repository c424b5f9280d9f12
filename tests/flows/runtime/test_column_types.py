"""From a file to a table with every type of column: PostgreSQL returns the file's values."""

from __future__ import annotations

import csv
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest

from headrace.flows.dry_run.preview import preview
from headrace.flows.runtime.execute import RunTotals
from tests.flows.runtime.runs import Runner

pytestmark = pytest.mark.postgres

LONG = "ü" * 31 + "x"
"""63 bytes in UTF-8: the longest name PostgreSQL has."""

NAMES = ["select", "Größe", 'a"b', "with space", "Tab\tle", "%s", "{x}", "user", LONG]

EVERY: dict[str, tuple[str, str]] = {
    "smallint": ("-32768", "-32768"),
    "integer": ("2147483647", "2147483647"),
    "bigint": ("-9223372036854775808", "-9223372036854775808"),
    "decimal(38,10)": ("9999999999999999999999999999.9999999999", "9999999999999999999999999999.9999999999"),
    "numeric": ("3.14159265358979323846264338327950288", "3.14159265358979323846264338327950288"),
    "real": ("0.1", "0.1"),
    "double precision": ("-inf", "-Infinity"),
    "boolean": ("Yes", "true"),
    "date": ("1582-10-04", "1582-10-04"),
    "time": ("23:59:59.999999", "23:59:59.999999"),
    "timetz": ("12:00:00+05:30", "12:00:00+05:30"),
    "timestamp": ("9999-12-31T23:59:59.999999", "9999-12-31 23:59:59.999999"),
    "timestamptz": ("1901-12-13 20:45:52+01:00", "1901-12-13 19:45:52+00"),
    "interval": ("1 mon -1 days 00:00:00.000001", "1 mon -1 days +00:00:00.000001"),
    "uuid": ("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "json": ('{"a": [1, 2.50]}', '{"a": [1, 2.50]}'),
    "jsonb": ('{"a":[1,2.50,"\\u00fc"]}', '{"a": [1, 2.50, "ü"]}'),
    "text": ('line\n"two"\t\\N 😀', 'line\n"two"\t\\N 😀'),
    "varchar(3)": ("üüü", "üüü"),
    "char(4)": ("ab", "ab"),
    "name": ("x" * 63, "x" * 63),
    "bytea": ("\\x00ff", "\\x00ff"),
    "inet": ("2001:db8::1", "2001:db8::1/128"),
    "macaddr": ("08:00:2b:01:02:03", "08:00:2b:01:02:03"),
    "bit(3)": ("101", "101"),
    "money": ("12.50", "$12.50"),
    "tstzrange": ("[2024-01-01,2024-02-01)", '["2024-01-01 00:00:00+00","2024-02-01 00:00:00+00")'),
    "int[]": ("[1,null,3]", "{1,NULL,3}"),
    "text[]": ('{"a b",c}', '{"a b",c}'),
    "mood": ("größer", "größer"),
    "mood[]": ('["sad"]', "{sad}"),
    "short": ("abc", "abc"),
    "pair": ("(1,x)", "(1,x)"),
    "point": ("(1,2)", "(1,2)"),
    "tsvector": ("'a':1 'b':2", "'a':1 'b':2"),
}


def source(path: str, **fields: str) -> dict[str, Any]:
    declared = [{"name": name, "dataType": kind} for name, kind in fields.items()]
    node = {"id": "src", "kind": "source", "connector": "local_fs", "config": {"path": path}}
    return {**node, "fields": declared} if declared else node


def target(schema: str = "public.t") -> dict[str, Any]:
    return {"id": "tgt", "kind": "target", "input": "src", "schema": schema}


@pytest.fixture
def runner(tmp_path: Path, database_url: str) -> Runner:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TYPE mood AS ENUM ('sad', 'größer')")
        connection.execute("CREATE DOMAIN short AS varchar(5) CHECK (value <> 'bad')")
        connection.execute("CREATE TYPE pair AS (a int, b text)")
    return Runner(tmp_path, database_url)


def write(runner: Runner, header: list[str], *rows: list[str]) -> None:
    with (runner.files / "a.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def sql(runner: Runner, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(runner.url, autocommit=True) as connection:
        cursor = connection.execute(statement)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []


@pytest.mark.parametrize("declared", [True, False], ids=["read as text", "types inferred"])
def test_every_type_of_column_gives_back_what_the_file_said(runner: Runner, declared: bool) -> None:
    names = [f"c{position}" for position in range(len(EVERY))]
    columns = ", ".join(f"{name} {ddl}" for name, ddl in zip(names, EVERY, strict=True))
    sql(runner, f"CREATE TABLE t ({columns})")
    write(runner, names, [value for value, _ in EVERY.values()], [""] * len(EVERY))
    fields = dict.fromkeys(names, "text") if declared else {}
    assert runner.run([source("a.csv", **fields), target()]) == RunTotals(2, 2, 0, 0), runner.recorder.cells
    shown = ", ".join(f"{name}::text" for name in names)
    given, empty = sql(runner, f"SELECT {shown} FROM t ORDER BY c0 NULLS LAST")
    assert dict(zip(EVERY, given, strict=True)) == {ddl: back for ddl, (_, back) in EVERY.items()}
    textual = ("text", "varchar(3)", "char(4)", "name", "bytea", "short")
    assert {ddl for ddl, value in zip(EVERY, empty, strict=True) if value is not None} <= set(textual)


def test_a_bad_cell_of_any_type_fails_its_row_alone_and_is_named(runner: Runner) -> None:
    sql(runner, "CREATE TABLE t (id int, i interval, n inet, a int[], u uuid, d numeric, s short, j jsonb)")
    header = ["id", "i", "n", "a", "u", "d", "s", "j"]
    good = ["1 hour", "::1", "{1}", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "1.5", "x", "{}"]
    bad = ["soon", "nowhere", "{1", "none", "1,5", "bad", "{"]
    rows = [["0", *good]]
    for position, value in enumerate(bad):
        rows.append([str(position + 1), *good[:position], value, *good[position + 1 :]])
    write(runner, header, *rows)
    fields = {"id": "integer", **dict.fromkeys(header[1:], "text")}
    assert runner.run([source("a.csv", **fields), target()]) == RunTotals(8, 1, 7, 0)
    assert sorted((row, column, value) for _, row, column, value, _ in runner.recorder.cells) == [
        # What a domain's check refuses in binary has no column in PostgreSQL's answer.
        (position + 2, None if name == "s" else name, None if name == "s" else value)
        for position, (name, value) in enumerate(zip(header[1:], bad, strict=True))
    ]
    messages = {column: error for _, _, column, _, error in runner.recorder.cells}
    assert messages["n"] == "Expected IP address, such as 10.0.0.1 or 10.0.0.0/8"
    assert messages["u"] == "Expected UUID"
    assert messages["d"] == "Expected decimal number"
    assert messages["j"] == "Expected JSON"


@pytest.mark.parametrize("table", ["public.select", "public.Order", f"public.{'t' * 63}"])
def test_names_that_need_quotes_are_quoted(runner: Runner, table: str) -> None:
    quoted = [name.replace('"', '""') for name in NAMES]
    columns = ", ".join(f'"{name}" {"inet" if position % 2 else "text"}' for position, name in enumerate(quoted))
    sql(runner, f'CREATE TABLE "{table.removeprefix("public.")}" ({columns})')
    write(runner, NAMES, ["10.0.0.1"] * len(NAMES), ["nowhere"] * len(NAMES))
    fields = dict.fromkeys(NAMES, "text")
    assert runner.run([source("a.csv", **fields), target(table)]) == RunTotals(2, 1, 1, 0)
    assert {column for _, _, column, _, _ in runner.recorder.cells} == set(NAMES[1::2])
    stored = sql(runner, f'SELECT {", ".join(f"{chr(34)}{name}{chr(34)}" for name in quoted)} FROM "{table[7:]}"')
    assert [str(value) for value in stored[0]] == ["10.0.0.1"] * len(NAMES)


def test_generated_identity_and_default_columns_are_filled_by_the_database(runner: Runner) -> None:
    sql(
        runner,
        "CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
        "n int GENERATED BY DEFAULT AS IDENTITY (START 10), s serial, name text NOT NULL DEFAULT 'nobody', "
        "at timestamptz DEFAULT '2024-01-01Z', price numeric, twice numeric GENERATED ALWAYS AS (price * 2) STORED, "
        "span interval DEFAULT '1 day')",
    )
    write(runner, ["price", "n"], ["1.5", "7"], ["2.5", "8"])
    assert runner.run([source("a.csv"), target()]) == RunTotals(2, 2, 0, 0)
    stored = sql(runner, "SELECT id, n, s, name, at = '2024-01-01Z', twice, span::text FROM t ORDER BY id")
    assert stored == [
        (1, 7, 1, "nobody", True, Decimal("3.0"), "1 day"),
        (2, 8, 2, "nobody", True, Decimal("5.0"), "1 day"),
    ]


def test_a_column_filled_from_the_data_in_spite_of_its_default(runner: Runner) -> None:
    sql(runner, "CREATE TABLE t (span interval DEFAULT '1 day', host inet DEFAULT '::1')")
    write(runner, ["span", "host"], ["2 days", ""])
    runner.run([source("a.csv", span="text", host="text"), target()])
    assert sql(runner, "SELECT span::text, host::text FROM t") == [("2 days", None)]


def test_typed_columns_of_a_parquet_file_keep_their_values(runner: Runner) -> None:
    sql(
        runner,
        "CREATE TABLE t (a int[], b uuid[], c interval, d bytea, e numeric, f timestamptz[], g jsonb, "
        "h numeric(5,2), i text)",
    )
    ident = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    pl.DataFrame(
        {
            "a": [[1, None]],
            "b": [[ident]],
            "c": [timedelta(days=1, microseconds=1)],
            "d": [b"\x00\xff"],
            "e": pl.Series([Decimal("0.123456789012")], dtype=pl.Decimal(38, 12)),
            "f": [[datetime(2024, 1, 1)]],
            "g": [{"x": [1]}],
            "h": [1.255],
            "i": [[1, 2]],
        }
    ).write_parquet(runner.files / "a.parquet")
    assert runner.run([source("a.parquet"), target()]) == RunTotals(1, 1, 0, 0), runner.recorder.cells
    (row,) = sql(runner, "SELECT a, b::text, c, d, e, f::text, g, h, i FROM t")
    assert row == (
        [1, None],
        f"{{{ident}}}",
        timedelta(days=1, microseconds=1),
        b"\x00\xff",
        Decimal("0.123456789012"),
        '{"2024-01-01 00:00:00+00"}',
        {"x": [1]},
        Decimal("1.26"),
        "[1,2]",
    )


def test_digits_are_never_lost_in_silence(runner: Runner) -> None:
    sql(runner, "CREATE TABLE t (a numeric, b numeric)")
    write(runner, ["a", "b"], ["0.1234567890123456789", "1.12345678901"], ["12345678901234567.5", "1.123456789"])
    # b is declared as a decimal without a size: 9 digits after the point, and values with more are rejected.
    assert runner.run([source("a.csv", a="text", b="decimal"), target()]).failed == 1
    assert [(row, column) for _, row, column, _, _ in runner.recorder.cells] == [(1, "b")]
    assert sql(runner, "SELECT a FROM t") == [(Decimal("12345678901234567.5"),)]
    sql(runner, "TRUNCATE t")
    assert runner.run([source("a.csv"), target()]).failed == 0
    assert sql(runner, "SELECT a FROM t ORDER BY a") == [
        (Decimal("0.1234567890123456789"),),
        (Decimal("12345678901234567.5"),),
    ]


def test_dates_before_the_first_and_after_the_year_9999_are_reported_not_guessed(runner: Runner) -> None:
    sql(runner, "CREATE TABLE t (a date)")
    values = ["0001-01-01", "9999-12-31", "1969-12-31", "10000-01-01", "0044-03-15 BC", "infinity", "01/02/2024"]
    write(runner, ["a"], *[[value] for value in values])
    assert runner.run([source("a.csv", a="text"), target()]).failed == 4
    assert [value for *_, value, _ in runner.recorder.cells] == values[3:]
    assert sql(runner, "SELECT a FROM t ORDER BY a") == [(date(1, 1, 1),), (date(1969, 12, 31),), (date(9999, 12, 31),)]


def test_a_preview_reports_what_the_server_would_not_read(runner: Runner) -> None:
    sql(runner, "CREATE TABLE t (a inet, b jsonb)")
    write(runner, ["a", "b"], ["::1", "{}"], ["nowhere", "{}"], ["::1", "{"])
    *_, last = preview(runner.job([source("a.csv", a="text", b="text"), target()]), rows=10)
    assert [(error.row, error.column, error.value) for error in last.errors] == [(2, "a", "nowhere"), (3, "b", "{")]
    assert (last.rows_out, last.failed) == (1, 2)


@pytest.mark.parametrize("mode", ["append", "replace", "truncate", "blue_green", "upsert"])
def test_every_load_mode_takes_such_columns(runner: Runner, mode: str) -> None:
    sql(runner, "CREATE TABLE t (id int PRIMARY KEY, host inet, n numeric, tags mood[], span interval NOT NULL)")
    rows = [
        ["1", "::1", "NaN", '["sad"]', "1 day"],
        ["2", "nowhere", "1", "", "1 day"],
        ["3", "", "1e-30", "{}", "PT1S"],
    ]
    write(runner, ["id", "host", "n", "tags", "span"], *rows)
    node = {**target(), "loadMode": mode, **({"upsertKey": ["id"]} if mode == "upsert" else {})}
    fields = {"id": "integer", **dict.fromkeys(["host", "n", "tags", "span"], "text")}
    assert runner.run([source("a.csv", **fields), node]) == RunTotals(3, 2, 1, 0)
    assert [(row, column, value) for _, row, column, value, _ in runner.recorder.cells] == [(2, "host", "nowhere")]
    assert sql(runner, "SELECT id, host::text, n::text, tags::text, span::text FROM t ORDER BY id") == [
        (1, "::1/128", "NaN", "{sad}", "1 day"),
        (3, None, f"0.{'0' * 29}1", "{}", "00:00:01"),
    ]
