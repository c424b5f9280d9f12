"""Each value that Snowflake sends is in the batch unchanged, or rejected with a reason."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.snowflake.frames import frame
from headrace.connectors.snowflake.types import Typed
from headrace.ir.schema import Field
from tests.connectors.reading import rejects, rows
from tests.connectors.sent_values import read_as_expected
from tests.connectors.snowflake.canned import column, moments, sent
from tests.connectors.snowflake.double import Double
from tests.connectors.snowflake.values import COLUMNS


def values(account: Double, given: tuple[dict[str, Any], pa.Field, pa.Array]) -> list[Any]:
    return [row[0] for row in rows(sent(account, given))]


def test_the_scale_of_the_metadata_counts(account: Double) -> None:
    """As in the driver's own converter: a decimal128's digits, whatever scale its type has."""
    given = column("V", "FIXED", pa.array([Decimal(123456)], pa.decimal128(38, 0)), precision=38, scale=4)
    assert values(account, given) == [Decimal("12.3456")]


@pytest.mark.parametrize("kind", COLUMNS)
def test_each_value_that_is_sent_arrives_exactly_or_as_an_error(account: Double, kind: str) -> None:
    given = COLUMNS[kind]
    source = sent(account, column("V", given.logical, given.array, **given.size))
    found = read_as_expected(source, [expected for _, _, expected in given.values])
    assert [field.data_type for field in found.schema] == [given.data_type]


@pytest.mark.parametrize(
    ("width", "precision", "digits", "expected"),
    [
        (pa.int8(), 38, [1, -128, None], [Decimal(1), Decimal(-128), None]),
        (pa.int16(), 9, [32767, None], [32767, None]),
    ],
)
def test_numbers_come_in_the_narrowest_integer(
    account: Double, width: pa.DataType, precision: int, digits: list[Any], expected: list[Any]
) -> None:
    given = column("V", "FIXED", pa.array(digits, width), precision=precision, scale=0)
    assert values(account, given) == expected


@pytest.mark.parametrize(
    ("scale", "count", "expected"),
    [
        (0, 1704103200, datetime(2024, 1, 1, 10)),
        (3, 1704103200123, datetime(2024, 1, 1, 10, 0, 0, 123000)),
        (6, 1704103200123456, datetime(2024, 1, 1, 10, 0, 0, 123456)),
        (9, 1704103200123456000, datetime(2024, 1, 1, 10, 0, 0, 123456)),
        (2, -1, datetime(1969, 12, 31, 23, 59, 59, 990000)),
    ],
)
def test_timestamps_that_are_one_number(account: Double, scale: int, count: int, expected: datetime) -> None:
    given = column("V", "TIMESTAMP_NTZ", pa.array([count, None], pa.int64()), scale=scale, precision=0)
    assert values(account, given) == [expected, None]


def test_nanoseconds_that_would_be_cut_are_error_rows_and_the_others_are_read(account: Double) -> None:
    """The driver's own converter refuses such a batch, where a moment is too far away for 64 bits of nanoseconds."""
    stamps = column("AT", "TIMESTAMP_NTZ", moments((0, 1), (0, 1000), (253402300799, 999999999), None), scale=9)
    clock = column("CLOCK", "TIME", pa.array([0, 43994123456789, 43994123456000, None], pa.int64()), scale=9)
    numbers = column("ID", "FIXED", pa.array([1, 2, 3, 4], pa.int8()), precision=4, scale=0)
    source = sent(account, numbers, stamps, clock)
    found = source.discover(max_partitions=1)
    assert found.sure == {"ID"}
    assert rows(source) == [(4, None, None)]
    assert rejects(source) == [
        (1, "AT", "1970-01-01 00:00:00.000000001", "Expected timestamp", "type"),
        (2, "CLOCK", "12:13:14.123456789", "Expected time", "type"),
        (3, "AT", "9999-12-31 23:59:59.999999999", "Expected timestamp", "type"),
    ]


def test_nanoseconds_are_all_there_where_text_is_declared(account: Double) -> None:
    given = column("AT", "TIMESTAMP_LTZ", moments((0, 1), (0, 1000)), scale=9)
    source = sent(account, given, fields=(Field("AT", "text"),))
    assert rows(source) == [("1970-01-01 00:00:00.000000001+00:00",), ("1970-01-01 00:00:00.000001000+00:00",)]


def test_a_number_that_floats_is_selected_as_text() -> None:
    described = Typed.of(0, None, None, None).column("V", nullable=True)
    assert (described.kind, described.field.data_type) == ("decfloat", "text")
    kind = pa.struct([("exponent", pa.int16()), ("significand", pa.binary())])
    raw = pa.array([{"exponent": 1, "significand": b"\x01"}], kind)
    named = pa.field("V", kind, metadata={"logicalType": "DECFLOAT"})
    records = pa.RecordBatch.from_arrays([raw], schema=pa.schema([named]))
    number = Typed.of(0, 38, 0, None).column("V", nullable=True)
    with pytest.raises(SourceError, match="DECFLOAT") as refused:
        frame(records, (number,))
    assert "::VARCHAR" in refused.value.hint


def test_values_of_the_doubles_own_tables(account: Double) -> None:
    """What fakesnow stores and sends by itself, without a test's help."""
    account.make(
        "CREATE TABLE t (id NUMBER(38,0), n NUMBER(38,9), f FLOAT, s VARCHAR, d DATE, b BOOLEAN, ts TIMESTAMP_NTZ, "
        "tm TIME, v VARIANT, x BINARY)",
        "INSERT INTO t SELECT 1, 12345678901234567890123456789.123456789, 0.1, 'é''\\\\', '2024-02-29', TRUE, "
        "'2024-01-01 10:00:00.123456', '12:13:14.5', PARSE_JSON('{\"a\":1}'), "
        "TO_BINARY('00ff', 'HEX')",
    )
    [row] = rows(account.source(table="t"))
    assert row[:2] == (Decimal(1), Decimal("12345678901234567890123456789.123456789"))
    assert row[2:6] == (0.1, "é'\\", date(2024, 2, 29), True)
    assert row[6:8] == (datetime(2024, 1, 1, 10, 0, 0, 123456), time(12, 13, 14, 500000))
    assert row[8:] == ('{"a":1}', "\\x00ff")


def test_null_moments_of_the_doubles_own_tables(account: Double) -> None:
    account.make(
        "CREATE TABLE t (id NUMBER(9,0), tz TIMESTAMP_TZ, ntz TIMESTAMP_NTZ)",
        "INSERT INTO t SELECT 1, NULL, NULL",
        "INSERT INTO t SELECT 2, '2024-01-01 10:00:00 +0200'::TIMESTAMP_TZ, '2024-01-01 10:00:00'::TIMESTAMP_NTZ",
    )
    assert sorted(rows(account.source(table="t"))) == [
        (1, None, None),
        (2, datetime(2024, 1, 1, 8, tzinfo=UTC), datetime(2024, 1, 1, 10)),
    ]
