"""A text is read as PostgreSQL reads it into a column of the type, or it is an error row: never as another value."""

from __future__ import annotations

from typing import Any

import polars as pl
import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.connectors.casting.columns import cast_text
from headrace.connectors.datatypes import sql_type
from headrace.ir.schema import Field
from tests.effort import examples

NUMBERS = st.from_regex(r"[ ]?[+-]?(0x|0b|0o)?[0-9]{0,12}[_,.]?[0-9]{0,12}([eE][+-]?[0-9]{1,2})?[ ]?", fullmatch=True)
WORDS = st.sampled_from(
    ["NaN", "nan", "-nan", "Infinity", "-infinity", "inf", "+Inf", "1e400", "-0", ".5", "5.", ".", "1d", "007"]
)
BOOLEANS = st.sampled_from(
    ["t", "TRUE", "tru", "yes", "ye", "y", "on", "o", "1", "f", "F", "fals", "no", "n", "off", "of", "0", "2", " true "]
)
DAYS = st.from_regex(r"[+-]?[0-9]{1,5}-[0-9]{1,2}-[0-9]{1,2}( BC)?", fullmatch=True)
CLOCKS = st.one_of(
    st.from_regex(r"[0-2]?[0-9]:[0-5]?[0-9](:[0-6][0-9](\.[0-9]{1,9})?)?", fullmatch=True),
    st.sampled_from(["24:00:00", "23:59:60", "23:59:59.9999999", "24:00:01", "04:05 PM", "040506", "10:00:00.0000005"]),
)
ZONES = st.sampled_from(["", "Z", "+02", "-0330", "+05:30", "-12:00", " UTC", " Europe/Paris", "+2", "+15:59"])
STAMPS = st.builds(
    lambda day, gap, clock, zone: f"{day}{gap}{clock}{zone}",
    st.one_of(st.dates().map(str), DAYS), st.sampled_from(["T", " ", "  "]), CLOCKS, ZONES,
)  # fmt: skip
UUIDS = st.uuids().flatmap(
    lambda value: st.sampled_from([str(value), value.hex, f"{{{value}}}", str(value).upper(),
                                   f"{value.hex[:4]}-{value.hex[4:]}", f"urn:uuid:{value}"])
)  # fmt: skip

FIELDS = {
    "smallint": (Field("v", "smallint"), NUMBERS | WORDS),
    "integer": (Field("v", "integer"), NUMBERS | WORDS),
    "bigint": (Field("v", "bigint"), NUMBERS | WORDS | st.integers(-(2**64), 2**64).map(str)),
    "double": (Field("v", "double"), NUMBERS | WORDS | st.floats().map(str)),
    "numeric(10,2)": (Field("v", "decimal", 10, 2), NUMBERS | WORDS | st.decimals(-(10**9), 10**9).map(str)),
    "numeric(38,9)": (Field("v", "decimal", 38, 9), NUMBERS | WORDS | st.decimals().map(str)),
    "numeric": (Field("v", "decimal"), NUMBERS | WORDS),
    "boolean": (Field("v", "boolean"), BOOLEANS | WORDS),
    "date": (Field("v", "date"), st.one_of(DAYS, st.dates().map(str), STAMPS, st.just("infinity"))),
    "time": (Field("v", "time"), CLOCKS),
    "timestamp": (Field("v", "timestamp"), STAMPS | DAYS),
    "timestamptz": (Field("v", "timestamptz"), STAMPS | DAYS),
    "uuid": (Field("v", "uuid"), UUIDS),
}

KNOWN_NUMBERS = [
    "1", "2.5", "7.4999999999999999999999999999999999", "0.125", "-0.125", "1.005", "99999999.995", "1245e-3",
    "1.245e0", "1.0000000000000000001e2", "-2.5e-1", "25E-3", "1_000", "0x10", "1e400",
]  # fmt: skip
KNOWN_TIMES = [
    "10:00:00.1234567", "2024-01-01 10:00:00.1234565", "2024-01-01 23:59:59.9999999+01", "9999-12-31 23:59:60",
    "2024-01-01 10:00:00+02", "2024-01-01T10:00:00Z", "2024-01-01 10:00", "2024-06-30 23:59:60", "0044-03-15 BC",
]  # fmt: skip


@pytest.mark.parametrize("kind", FIELDS)
def test_what_is_read_is_what_postgresql_reads(kind: str, postgres_url: str) -> None:
    field, texts = FIELDS[kind]
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")

        @settings(max_examples=examples(150), deadline=None)
        @given(st.lists(texts, min_size=1, max_size=30))
        @example(KNOWN_NUMBERS)
        @example(KNOWN_TIMES)
        def evaluated(texts: list[str]) -> None:
            series = pl.Series("v", texts, dtype=pl.String)
            values, bad = cast_text(series, field)
            good = [True] * len(texts) if bad is None else (~bad).to_list()
            for text, value, fits in zip(texts, values.to_list(), good, strict=True):
                if fits and text.strip():
                    assert same(connection, text, value, sql_type(field)), (text, value)

        evaluated()


def same(connection: psycopg.Connection[Any], text: str, value: object, kind: str) -> bool:
    """Whether PostgreSQL reads the text as just this value."""
    shown = repr(value) if isinstance(value, float) else str(value)
    query = f"SELECT %s::text::{kind} IS NOT DISTINCT FROM %s::text::{kind}"
    try:
        found = connection.execute(query, (text, shown)).fetchone()
    except psycopg.Error as error:
        pytest.fail(f"{text!r} became {value!r}, but PostgreSQL says: {str(error).splitlines()[0]}")
    return bool(found and found[0])
