"""A column whose texts all have the usual form gives what the general parser gives for each of them."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.connectors.casting.columns import cast_text
from headrace.connectors.casting.fixed_width import usual_dates, usual_timestamps
from headrace.ir.schema import DataType, Field
from tests.effort import examples

DATES = st.dates(date(1000, 1, 1)).map(date.isoformat)
STAMPS = st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31)).map(lambda each: each.isoformat("T", "seconds"))


def mutated(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Texts of the same length with one other character."""
    return st.builds(
        lambda text, place, other: text[: place % len(text)] + other + text[place % len(text) + 1 :],
        texts,
        st.integers(0, 30),
        st.sampled_from("0123456789-+:TZ /e.٣"),
    )


@settings(max_examples=examples(300))
@given(
    st.sampled_from(["date", "timestamp", "timestamptz"]),
    st.lists(st.none() | DATES | mutated(DATES), max_size=6),
    st.lists(st.none() | STAMPS | mutated(STAMPS), max_size=6),
    st.sampled_from(["", "Z"]),
)
def test_the_usual_form_and_what_resembles_it_are_read_as_in_any_other_column(
    data_type: DataType, dates: list[str | None], stamps: list[str | None], zone: str
) -> None:
    cells = dates if data_type == "date" else [each and each + zone for each in stamps]
    text = pl.Series("t", cells, dtype=pl.String)
    field = Field("t", data_type)
    result, bad = cast_text(text, field)
    # a cell in another form, so that the general parser reads the whole column
    general, wrong = cast_text(text.append(pl.Series("t", [" 2001-02-03 "])), field)
    assert result.dtype == general.dtype
    assert result.to_list() == general.head(-1).to_list()
    assert (bad is not None) == (wrong is not None)
    if bad is not None and wrong is not None:
        assert bad.to_list() == wrong.head(-1).to_list()


@settings(max_examples=examples(100))
@given(st.lists(st.none() | st.dates(date(1000, 1, 1)), min_size=1).filter(any))
def test_dates_with_and_without_nulls(days: list[date | None]) -> None:
    text = pl.Series("d", [day and day.isoformat() for day in days], dtype=pl.String)
    found = usual_dates(text)
    assert found is not None
    assert found.name == "d"
    assert found.to_list() == days


@settings(max_examples=examples(100))
@given(
    st.lists(st.none() | st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31)), min_size=1).filter(any),
    st.sampled_from("T "),
    st.sampled_from(["", "Z"]),
)
def test_timestamps_with_and_without_nulls_and_zone(times: list[datetime | None], gap: str, zone: str) -> None:
    expected = [each and each.replace(microsecond=0) for each in times]
    text = pl.Series("t", [each and each.isoformat(gap) + zone for each in expected], dtype=pl.String)
    plain, aware = usual_timestamps(text, aware=False), usual_timestamps(text, aware=True)
    assert plain is not None
    assert aware is not None
    assert plain.to_list() == expected
    assert aware.to_list() == [each and each.replace(tzinfo=UTC) for each in expected]


def test_part_of_a_column_is_read_at_its_own_place() -> None:
    text = pl.Series(["2024-01-01", "x", "2024-01-03", "2024-01-04"])
    found = usual_dates(text[2:])
    assert found is not None
    assert found.to_list() == [date(2024, 1, 3), date(2024, 1, 4)]


@pytest.mark.parametrize(
    "text",
    [
        "2023-02-29", "2024-00-01", "2024-13-01", "2024-01-00", "2024-01-32", "0024-01-01", "2024/01/01", "2024-1-011",
        "+024-01-01", "20240-1-01",
    ],
)  # fmt: skip
def test_anything_else_is_left_to_the_general_parser(text: str) -> None:
    assert usual_dates(pl.Series(["2024-01-01", text])) is None
    assert usual_timestamps(pl.Series([f"{text}T10:00:00"]), aware=True) is None


@pytest.mark.parametrize("clock", ["24:00:00", "23:60:00", "23:59:60", "2:30:0000", "10.00.00", "10:00:0x"])
def test_clocks_that_do_not_exist_are_left_to_the_general_parser(clock: str) -> None:
    assert usual_timestamps(pl.Series([f"2024-01-01T{clock}"]), aware=False) is None


def test_columns_in_more_than_one_form_are_left_to_the_general_parser() -> None:
    assert usual_timestamps(pl.Series(["2024-01-01T10:00:00", "2024-01-01 10:00:00"]), aware=False) is None
    assert usual_timestamps(pl.Series(["2024-01-01T10:00:00Z", "2024-01-01T10:00:00"]), aware=False) is None
    assert usual_timestamps(pl.Series(["2024-01-01T10:00:00+"]), aware=False) is None
    assert usual_dates(pl.Series([None], dtype=pl.String)) is None
    assert usual_dates(pl.Series([], dtype=pl.String)) is None
