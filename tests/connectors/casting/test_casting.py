"""The texts that each type accepts, with any surrounding blanks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.connectors.casting.columns import cast_native, cast_text, format_problem
from headrace.connectors.casting.times import time_in_microseconds
from headrace.connectors.datatypes import TYPES, data_type_of_postgres, field_of_polars, polars_dtype, sql_type
from headrace.ir.schema import DATA_TYPES, DataType, Field
from tests.effort import examples

NO_DATES = ["2023-02-29", "01/02/2024", "24-01-02", "20240102", "12024-01-01"]
NO_STAMPS = ["2024-13-01T00:00:00", "yesterday", "1704067200", "2024-01-01T25:00:00"]
UUID = "F47AC10B-58CC-4372-A567-0E02B2C3D479"
STAMPS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))
WIDE = Context(prec=60)
ZONES = st.integers(-12 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def stamp(value: datetime, gap: str, spec: str, zone: str) -> str:
    return value.isoformat(gap, spec) + zone


@settings(max_examples=examples(200))
@given(st.lists(st.tuples(STAMPS, st.sampled_from("T "), st.sampled_from(["seconds", "microseconds", "milliseconds"]))))
def test_timestamps_in_any_mixture_of_forms(values: list[tuple[datetime, str, str]]) -> None:
    text = pl.Series([stamp(value, gap, spec, "") for value, gap, spec in values], dtype=pl.String)
    cut = {"seconds": 10**6, "milliseconds": 1000, "microseconds": 1}
    expected = [value.replace(microsecond=value.microsecond // cut[spec] * cut[spec]) for value, _, spec in values]
    result, bad = cast_text(text, Field("t", "timestamp"))
    assert bad is None
    assert result.to_list() == expected
    zoned, bad = cast_text(text + "Z", Field("t", "timestamptz"))
    assert bad is None
    assert zoned.to_list() == [value.replace(tzinfo=UTC) for value in expected]


@settings(max_examples=examples(100))
@given(st.lists(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=ZONES), max_size=8))
def test_offsets_are_moved_to_utc(values: list[datetime]) -> None:
    text = pl.Series([value.isoformat() for value in values], dtype=pl.String)
    result, bad = cast_text(text, Field("t", "timestamptz"))
    assert bad is None
    assert result.to_list() == [value.astimezone(UTC) for value in values]


@pytest.mark.parametrize(
    ("data_type", "good", "bad"),
    [
        ("smallint", {"1": 1, "-32768": -32768, " 7 ": 7, "+3": 3}, ["32768", "1.0", "1e2", "x", "0x1"]),
        ("integer", {"2147483647": 2**31 - 1, "007": 7}, ["2147483648", "1,000", "--1"]),
        ("double", {"1e3": 1000.0, ".5": 0.5, " -1.25 ": -1.25}, ["1,5", "abc", "1.2.3"]),
        ("boolean", {"true": True, "F": False, "Yes": True, "0": False}, ["2", "maybe", "tru"]),
        ("date", {"2024-02-29": date(2024, 2, 29), "0001-01-01": date(1, 1, 1)}, NO_DATES),
        ("time", {"10:00": time(10), "23:59:59.5": time(23, 59, 59, 500_000)}, ["24:00:00", "10", "noon"]),
        ("timestamp", {"2024-01-01T10:00": datetime(2024, 1, 1, 10), "2024-01-01": datetime(2024, 1, 1)}, NO_STAMPS),
        ("uuid", {UUID: UUID, UUID.lower(): UUID.lower()}, ["f47ac10b", "g" + UUID[1:]]),
        ("decimal", {"1.5": Decimal("1.5"), "-0.000000001": Decimal("-1e-9")}, ["1e400", "1_000", "NaN"]),
    ],
)  # fmt: skip
def test_text_of_each_type(data_type: DataType, good: dict[str, object], bad: list[str]) -> None:
    text = pl.Series([*good, *bad, None, "", "  "], dtype=pl.String)
    result, wrong = cast_text(text, Field("x", data_type))
    assert result.to_list() == [*good.values(), *[None] * (len(bad) + 3)]
    assert wrong is not None
    assert wrong.fill_null(value=False).to_list() == [False] * len(good) + [True] * len(bad) + [False] * 3


def test_a_declared_format_replaces_iso() -> None:
    result, bad = cast_text(pl.Series(["31.01.2024", "2024-01-31"]), Field("d", "date", format="%d.%m.%Y"))
    assert result.to_list() == [date(2024, 1, 31), None]
    assert bad is not None
    assert bad.to_list() == [False, True]
    result, _ = cast_text(pl.Series(["01/02/2024 3:00PM"]), Field("d", "timestamptz", format="%m/%d/%Y %I:%M%p"))
    assert result.to_list() == [datetime(2024, 1, 2, 15, tzinfo=UTC)]


def test_a_format_that_cannot_be_is_reported() -> None:
    assert "%Y %H" in (format_problem(Field("d", "timestamp", format="%d.%m.%Y %H")) or "")
    assert format_problem(Field("d", "timestamp", format="%d.%m.%Y %H:%M")) is None
    assert format_problem(Field("d", "date", format="%d.%m.%y")) is None


def test_typed_values_that_do_not_fit_are_found() -> None:
    result, bad = cast_native(pl.Series([1, 70_000, None]), Field("x", "smallint"))
    assert result.to_list() == [1, None, None]
    assert bad is not None
    assert bad.to_list() == [False, True, False]


@pytest.mark.parametrize("data_type", DATA_TYPES)
def test_every_type_has_its_three_names(data_type: DataType) -> None:
    field = Field("x", data_type)
    assert sql_type(field)
    assert data_type_of_postgres(TYPES[data_type].known_as[0]) == data_type
    back = field_of_polars("x", pl.Series([], dtype=polars_dtype(field)).dtype)
    assert polars_dtype(back) == polars_dtype(field)


def test_sizes_are_part_of_the_sql_type() -> None:
    assert sql_type(Field("x", "decimal", 12, 2)) == "numeric(12,2)"
    assert sql_type(Field("x", "decimal")) == "numeric"
    assert sql_type(Field("x", "varchar", 40)) == "varchar(40)"


@settings(max_examples=examples(200))
@given(st.lists(st.decimals(-(10**6), 10**6, places=5).map(str), max_size=8), st.integers(0, 6))
def test_a_sized_decimal_rounds_halves_away_from_zero_as_postgresql_does(values: list[str], scale: int) -> None:
    result, bad = cast_text(pl.Series(values, dtype=pl.String), Field("x", "decimal", 20, scale))
    unit = Decimal(1).scaleb(-scale)
    assert bad is None
    assert result.to_list() == [Decimal(value).quantize(unit, ROUND_HALF_UP) for value in values]


@settings(max_examples=examples(200))
@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**28), max_value=10**28), max_size=8))
def test_a_decimal_without_a_size_keeps_every_digit_or_is_an_offender(values: list[Decimal]) -> None:
    text = [str(value) for value in values]
    result, bad = cast_text(pl.Series(text, dtype=pl.String), Field("x", "decimal"))
    wrong = [False] * len(text) if bad is None else bad.fill_null(value=False).to_list()
    for value, read, is_bad in zip(values, result.to_list(), wrong, strict=True):
        if is_bad:
            assert value != value.quantize(Decimal("1e-9"), context=WIDE)
        else:
            assert read == value


def test_a_number_that_no_double_holds_is_an_offender_and_infinity_is_not() -> None:
    text = ["1e308", "-1e400", "inf", "-Infinity", "1e-400"]
    result, bad = cast_text(pl.Series(text), Field("x", "double"))
    assert result.to_list() == [1e308, None, float("inf"), float("-inf"), 0.0]
    assert bad is not None
    assert bad.to_list() == [False, True, False, False, False]


def test_a_uuid_may_stand_in_braces() -> None:
    result, bad = cast_text(pl.Series(["{" + UUID + "}", UUID, "{x}"]), Field("x", "uuid"))
    assert result.to_list() == [UUID, UUID, None]
    assert bad is not None
    assert bad.to_list() == [False, False, True]


def test_bytes_and_durations_become_text_that_postgresql_reads_back() -> None:
    bytes_, _ = cast_native(pl.Series([b"\x00\xff", None]), Field("x", "text"))
    assert bytes_.to_list() == ["\\x00ff", None]
    spans, _ = cast_native(pl.Series([timedelta(days=1, microseconds=-1)]), Field("x", "text"))
    assert spans.to_list() == ["86399999999 microseconds"]


def test_a_time_keeps_its_fraction_as_text() -> None:
    times = [time(12), time(12, 0, 0, 1), time(23, 59, 59, 500_000), time(10, 20, 30), None]
    text, bad = cast_native(pl.Series(times), Field("x", "text"))
    assert text.to_list() == ["12:00:00", "12:00:00.000001", "23:59:59.5", "10:20:30", None]
    assert bad is None
    nanos, _ = cast_native(pl.Series([1_500]).cast(pl.Time), Field("x", "text"))
    assert nanos.to_list() == ["00:00:00.0000015"]


@pytest.mark.parametrize("wanted", ["timestamp", "timestamptz"])
def test_nanoseconds_are_rounded_as_postgresql_rounds(wanted: DataType) -> None:
    nanos = [1_499, 1_500, 2_500, 2_501, -1_500, -2_500, -1, None]
    made, bad = cast_native(pl.Series(nanos).cast(pl.Datetime("ns", "UTC")), Field("x", wanted))
    assert made.to_physical().to_list() == [1, 2, 2, 3, -2, -2, 0, None]
    assert bad is None


def test_parts_of_a_microsecond_of_a_time_are_rounded_and_midnight_is_not_the_days() -> None:
    nanos = [1_499, 1_500, 2_500, 1_000, 86_399_999_999_500, 86_399_999_999_499, None]
    made = time_in_microseconds(pl.Series(nanos).cast(pl.Time))
    assert made.to_physical().to_list() == [1_000, 2_000, 2_000, 1_000, None, 86_399_999_999_000, None]


BYTES = pl.Struct({"b": pl.List(pl.Binary), "n": pl.Int8})


@pytest.mark.parametrize(
    ("values", "dtype", "texts"),
    [
        ([[b"\x00\xff", None], [], None], pl.List(pl.Binary), ['["\\\\x00ff",null]', "[]", None]),
        ([[b"ab"], None], pl.Array(pl.Binary, 1), ['["\\\\x6162"]', None]),
        (
            [{"b": [b"a"], "n": 1}, {"b": None, "n": 2}, None],
            BYTES,
            ['{"b":["\\\\x61"],"n":1}', '{"b":null,"n":2}', None],
        ),
        ([[{"b": [b"a"], "n": 1}, None]], pl.List(BYTES), ['[{"b":["\\\\x61"],"n":1},null]']),
        ([[1.5, None], [-0.0]], pl.List(pl.Float64), ["[1.5,null]", "[-0.0]"]),
    ],
)
def test_nested_values_are_json_with_bytes_in_hexadecimal(
    values: list[Any], dtype: pl.DataType, texts: list[Any]
) -> None:
    for wanted in ("json", "text"):
        text, bad = cast_native(pl.Series(values, dtype=dtype), Field("x", wanted))  # type: ignore[arg-type]
        assert text.to_list() == texts
        assert bad is None


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    ("wrap", "dtype"),
    [
        (lambda n: [1.0, n], pl.List(pl.Float32)),
        (lambda n: [[n]], pl.List(pl.List(pl.Float64))),
        (lambda n: [n], pl.Array(pl.Float64, 1)),
        (lambda n: {"a": "x", "n": n}, pl.Struct({"a": pl.String, "n": pl.Float64})),
        (lambda n: [{"n": [n]}], pl.List(pl.Struct({"n": pl.List(pl.Float64)}))),
    ],
)
def test_a_number_that_json_cannot_hold_is_an_offender_however_deep_it_is(
    number: float, wrap: Callable[[float], Any], dtype: pl.DataType
) -> None:
    text, bad = cast_native(pl.Series([wrap(1.0), wrap(number), None], dtype=dtype), Field("x", "json"))
    assert text.is_null().to_list() == [False, True, True]
    assert bad is not None
    assert bad.to_list() == [False, True, False]


STAMP_TEXTS = st.one_of(
    st.builds(
        "{}-{}-{}{}{}:{}:{}{}{}".format,
        st.sampled_from(["2024", "0001", "9999", "987", "12024", "+2024"]),
        st.sampled_from(["01", "12", "13", "2"]),
        st.sampled_from(["01", "29", "32", "9"]),
        st.sampled_from(["T", " "]),
        st.sampled_from(["00", "23", "24", "7"]),
        st.sampled_from(["00", "59", "60"]),
        st.sampled_from(["00", "59", "60", "5"]),
        st.sampled_from(["", ".1", ".12", ".123", ".123456", ".9999999", ".123456789", "."]),
        st.sampled_from(["", "Z", "+02:00", "-0530", "+05", "+15:59", "+24:00", "+02:60", "z", "+"]),
    ),
    st.sampled_from(["", " ", "2024-01-01", "2024-01-01T10:00", "x"]),
)


@pytest.mark.parametrize("data_type", ["timestamp", "timestamptz"])
@settings(max_examples=examples(30), deadline=None)
@given(st.lists(st.none() | STAMP_TEXTS, max_size=12))
@example(["2024-1-9T00:59:5.123456789", "2024-02-30T23:60:5.9999999+24:00"])
def test_a_timestamp_is_read_the_same_whatever_the_others_of_its_column_are(
    data_type: DataType, texts: list[str | None]
) -> None:
    field = Field("at", data_type)
    alone = [cast_text(pl.Series([text], dtype=pl.String), field)[0][0] for text in texts]
    assert cast_text(pl.Series(texts, dtype=pl.String), field)[0].to_list() == alone


def test_a_short_text_with_a_long_fraction_is_rounded_as_a_long_one() -> None:
    texts = pl.Series(["1:2:3.1234567", "01:02:03.1234567"])
    assert cast_text(texts.head(1), Field("at", "time"))[0].to_list() == [time(1, 2, 3, 123457)]
    assert cast_text(texts, Field("at", "time"))[0].to_list() == [time(1, 2, 3, 123457)] * 2


def test_times_become_the_text_that_postgresql_writes() -> None:
    stamps = pl.Series([datetime(2024, 1, 2, 10), datetime(2024, 1, 2, 10, 0, 0, 250_000), None])
    texts, bad = cast_native(stamps, Field("t", "text"))
    assert (texts.to_list(), bad) == (["2024-01-02 10:00:00", "2024-01-02 10:00:00.25", None], None)
    zoned = stamps.dt.replace_time_zone("UTC").dt.convert_time_zone("Europe/Berlin")
    texts, bad = cast_native(zoned, Field("t", "text"))
    assert (texts.to_list(), bad) == (["2024-01-02 10:00:00+00", "2024-01-02 10:00:00.25+00", None], None)
