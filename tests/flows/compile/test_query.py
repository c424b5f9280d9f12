"""A query of the op `sql` reads the rows it is given and no file, however one is named."""

from __future__ import annotations

from contextlib import suppress

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from polars.exceptions import PolarsError

from flows.compile.query import refusal
from tests.effort import examples

MISSING = "('/does/not/exist.csv')"

NAMES = ["read_csv", '"read_csv"', "`read_csv`", '"READ_PARQUET"', "scan_csv", MISSING, '"/does/not/exist.csv"']
CLAUSES = ["from", "FROM", "join", "cross join", "natural join", "on true", "using (a)", "union all", "where a in ("]
OTHERS = ["exists (", "with x as (", "x", "as", "lateral", "input", "(", ")", ",", "select a from input", "select *"]
MARKS = ["$$", "'", "--", "/*", "*/", "\n"]
pieces = st.sampled_from([*NAMES, *CLAUSES, *OTHERS, *MARKS])


@settings(max_examples=examples(600))
@given(st.lists(pieces, max_size=9))
@example(['from ("read_csv"', MISSING, ")"])
@example(['from (("read_csv"', MISSING, "))"])
@example(['from input join ("READ_CSV"', MISSING, ") on true"])
@example(['from ("/does/not/exist.csv")'])
@example(["from input where a in (select a from (`read_csv`", MISSING, "))"])
def test_no_file_is_looked_for(parts: list[str]) -> None:
    query = " ".join(["select *", *parts])
    if refusal(query) is not None:
        return
    context = pl.SQLContext(input=pl.LazyFrame({"a": [1]}), register_globals=False)
    try:
        with suppress(PolarsError):
            context.execute(query, eager=True)
    except FileNotFoundError:
        raise AssertionError(f"{query!r} reached for a file") from None


@pytest.mark.parametrize(
    "query",
    [
        "select a from input",
        'select a from "input"',
        "select a from (select a from input) as t",
        "select t.a from input as t join (select a from input) as u on t.a = u.a",
        "with x as (select a from input) select a from x union all select a from (x)",
        "select a, 'from nowhere' as b from input where a in (select a from input)",
        "select extract(year from day) as y from input",
    ],
)
def test_one_query_over_the_rows_is_allowed(query: str) -> None:
    assert refusal(query) is None
