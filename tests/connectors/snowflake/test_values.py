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
from tests.connectors.snowflake.canned import column, moments, sent
from tests.connectors.snowflake.double import Double


def values(account: Double, given: tuple[dict[str, Any], pa.Field, pa.Array]) -> list[Any]:
    return [row[0] for row in rows(sent(account, given))]


@pytest.mark.parametrize(
    ("width", "precision", "scale", "digits", "expected"),
    [
        (pa.int8(), 38, 0, [1, -128, None], [Decimal(1), Decimal(-128), None]),
        (pa.int8(), 4, 0, [1, -99, None], [1, -99, None]),
        (pa.int16(), 9, 0, [32767, None], [32767, None]),
        (pa.int32(), 18, 0, [2**31 - 1], [2**31 - 1]),
        (pa.int64(), 18, 0, [-(10**18) + 1], [-(10**18) + 1]),
        (pa.int8(), 18, 4, [1, -1, None], [Decimal("0.0001"), Decimal("-0.0001"), None]),
        (pa.int64(), 18, 4, [123456789012345678], [Decimal("12345678901234.5678")]),
        (pa.int64(), 38, 37, [1, 9 * 10**17], [Decimal(1).scaleb(-37), Decimal(9 * 10**17).scaleb(-37)]),
    ],
)
def test_numbers_have_all_their_digits(
    account: Double, width: pa.DataType, precision: int, scale: int, digits: list[Any], expected: list[Any]
) -> None:
    given = column("V", "FIXED", pa.array(digits, width), precision=precision, scale=scale)
    assert values(account, given) == expected


def test_numbers_of_38_digits_have_all_of_them(account: Double) -> None:
    most = [Decimal("9" * 34 + "." + "9" * 4), Decimal("-" + "9" * 34 + ".9999"), Decimal("0.0001"), None]
    given = column("V", "FIXED", pa.array(most, pa.decimal128(38, 4)), precision=38, scale=4)
    assert values(account, given) == most
    whole = [Decimal("9" * 38), Decimal("-" + "9" * 38)]
    given = column("W", "FIXED", pa.array(whole, pa.decimal128(38, 0)), precision=38, scale=0)
    account.control(clear=True)
    assert values(account, given) == whole


def test_the_scale_of_the_metadata_counts(account: Double) -> None:
    """As in the driver's own converter: a decimal128's digits, whatever scale its type has."""
    given = column("V", "FIXED", pa.array([Decimal(123456)], pa.decimal128(38, 0)), precision=38, scale=4)
    assert values(account, given) == [Decimal("12.3456")]


@pytest.mark.parametrize(("logical", "zone"), [("TIMESTAMP_NTZ", None), ("TIMESTAMP_LTZ", UTC)])
def test_timestamps_to_the_microsecond(account: Double, logical: str, zone: Any) -> None:
    given = column(
        "V",
        logical,
        moments((1704103200, 123456000), (-1, 999999000), (253402300799, 0), (-62135596800, 0), None, (0, 0)),
        scale=9,
        precision=0,
    )
    assert values(account, given) == [
        datetime(2024, 1, 1, 10, 0, 0, 123456, zone),
        datetime(1969, 12, 31, 23, 59, 59, 999999, zone),
        datetime(9999, 12, 31, 23, 59, 59, 0, zone),
        datetime(1, 1, 1, tzinfo=zone),
        None,
        datetime(1970, 1, 1, tzinfo=zone),
    ]


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


def test_timestamps_with_an_offset_are_the_moment(account: Double) -> None:
    three = pa.struct([("epoch", pa.int64()), ("fraction", pa.int32()), ("timezone", pa.int32())])
    two = pa.struct([("epoch", pa.int64()), ("timezone", pa.int32())])
    expected = [datetime(2024, 1, 1, 10, 0, 0, 123456, UTC), None]
    given = [{"epoch": 1704103200, "fraction": 123456000, "timezone": 1440 + 330}, None]
    assert values(account, column("V", "TIMESTAMP_TZ", pa.array(given, three), scale=9, precision=0)) == expected
    account.control(clear=True)
    given = [{"epoch": 1704103200123456, "timezone": 1440 - 480}, None]
    assert values(account, column("V", "TIMESTAMP_TZ", pa.array(given, two), scale=6, precision=0)) == expected


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


def test_everything_else(account: Double) -> None:
    floats = [1e-300, -0.1, float("inf"), None]
    pieces = [
        column("F", "REAL", pa.array(floats, pa.float64())),
        column("D", "DATE", pa.array([0, 2932896, -719162, None], pa.date32())),
        column("T", "TIME", pa.array([0, 86399, 1, None], pa.int32()), scale=0),
        column("B", "BOOLEAN", pa.array([True, False, None, None])),
        column("S", "TEXT", pa.array(["", "é\n\t\\", " x ", None]), length=16777216),
        column("C", "TEXT", pa.array(["a", "b", "c", None]), length=20),
        column("X", "BINARY", pa.array([b"", b"\x00\xff", b"\\", None], pa.binary()), length=8388608),
        column("V", "VARIANT", pa.array(['{"n": 1.10}', '"x"', "12345678901234567890.123456789", None])),
        column("O", "OBJECT", pa.array(['{\n  "b": 1,\n  "a": [1, null]\n}', "{}", "{}", None])),
        column("A", "ARRAY", pa.array(["[\n  1\n]", "[]", "[]", None])),
        column("G", "GEOGRAPHY", pa.array(["SRID=4326;POINT(1 2)", None, None, None])),
    ]
    source = sent(account, *pieces)
    found = source.discover(max_partitions=1)
    kinds = {field.name: field.data_type for field in found.schema}
    assert kinds == {
        **{"F": "double", "D": "date", "T": "time", "B": "boolean", "S": "text", "C": "varchar", "X": "text"},
        **{"V": "json", "O": "json", "A": "json", "G": "text"},
    }
    assert found.sure == set(kinds)
    read = rows(source)
    assert [row[0] for row in read] == floats
    assert [row[1] for row in read] == [date(1970, 1, 1), date(9999, 12, 31), date(1, 1, 1), None]
    assert [row[2] for row in read] == [time(0), time(23, 59, 59), time(0, 0, 1), None]
    assert [row[3] for row in read] == [True, False, None, None]
    assert [row[4] for row in read] == ["", "é\n\t\\", " x ", None]
    assert [row[6] for row in read] == ["\\x", "\\x00ff", "\\x5c", None]
    assert [row[7] for row in read] == ['{"n": 1.10}', '"x"', "12345678901234567890.123456789", None]
    assert read[0][8] == '{\n  "b": 1,\n  "a": [1, null]\n}'
    assert read[0][10] == "SRID=4326;POINT(1 2)"


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
