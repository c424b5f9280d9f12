"""An expression sees its row and nothing else: no file, no other row, no query, however it is hidden."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from polars.exceptions import PolarsError

from flows.compile.row_local import MAX_OPERATORS, refusal
from tests.effort import examples

MISSING = "/does/not/exist.csv"
READ = f"(select a from read_csv('{MISSING}'))"

QUOTES = ["'", "''", '"', "`", "$$", "$t$", "--", "/*", "*/", "/**/", "E'", "u&'", "N'", "X'", "q'[", "]'", "\\", "#"]
OTHERS = [
    "\n",
    "\r",
    "a",
    "b",
    "||",
    " ",
    "(",
    ")",
    ",",
    "[",
    "]",
    "case when a = '' then ",
    " else ",
    " end",
    "coalesce(",
]
pieces = st.sampled_from([READ, *QUOTES, *OTHERS])


@settings(max_examples=examples(500))
@given(st.lists(pieces, max_size=14))
@example(["$$", "'", "$$", "||", READ, "||", "'"])
@example(["/*", "/*", "*/", "'", "*/", READ, "--", "'"])
@example(["$t$", '"', "$t$", "||", READ, "||", '"'])
@example(["E'", "\\", "''", "||", READ, "||", "''"])
def test_no_file_is_looked_for_however_the_query_is_hidden(parts: list[str]) -> None:
    # Polars opens the file of a subquery while it parses, and says so of one that is not there.
    sql = "".join(parts)
    try:
        reason = refusal(sql)
        if reason is None:
            pl.sql_expr(sql)
    except FileNotFoundError:
        raise AssertionError(f"{sql!r} reached for a file") from None
    except PolarsError:
        pass


@pytest.mark.parametrize("function", ["read_csv", "read_parquet", "read_json", "read_ipc", "scan_csv"])
@pytest.mark.parametrize("form", ["{}('{}')", "(select * from {}('{}'))", "a in (select * from {}('{}'))"])
def test_functions_that_read_files_are_not_there(function: str, form: str, tmp_path: Path) -> None:
    file = tmp_path / "there.csv"
    file.write_text("a\n1\n")
    sql = form.format(function, file)
    if refusal(sql) is None:
        with pytest.raises(PolarsError, match="unsupported function"):
            pl.sql_expr(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "a = 'select'",
        "a = 'it''s -- no comment /* */ $$'",
        '"select" = 1',
        "coalesce(a, 'with')",
        "cast(a as timestamp with time zone)",
        "a in ('x','y')",
        "a - -1",
        "a||'x'",
    ],
)
def test_what_only_looks_like_one_is_allowed(sql: str) -> None:
    assert refusal(sql) is None


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("a -- all of it", "-- is not allowed"),
        ("a /* of it */", "/* is not allowed"),
        ("a || $$x$$", "$$ is not allowed"),
        ("a || E'x'", "E' is not allowed"),
        ("exists(select 1)", "subquery"),
        ("a in (values (1))", "subquery"),
    ],
)
def test_a_refusal_says_what_it_is_about(sql: str, says: str) -> None:
    assert says in (refusal(sql) or "")


@pytest.mark.parametrize(
    "chain",
    ["a" + " + 1" * 5_000, " or ".join(["a = 1"] * 200), "a" + "::int" * 3_000, "a is null" + " is null" * 2_000],
)
def test_a_chain_without_end_is_refused_before_it_is_parsed(chain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(pl, "sql_expr")  # which would take seconds, and more memory than there is
    assert refusal(chain) == f"An expression has at most {MAX_OPERATORS:,} operators"


def test_what_is_too_deep_to_look_at_is_refused() -> None:
    assert refusal("a" + " + 1" * MAX_OPERATORS) is None
    assert refusal(f"case {'when a then 1 ' * 2_000} end") == "The expression is nested too deeply"


def test_a_long_list_is_no_chain() -> None:
    assert refusal(f"a in ({', '.join(map(str, range(3_000)))})") is None
    assert refusal(f"coalesce({', '.join(['a'] * 3_000)})") is None
