"""Value by value: every type of BSON in every type of field, exactly or as a cell that the row is rejected for."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import bson
import pytest
from bson import Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import Binary
from bson.datetime_ms import DatetimeMS

from headrace.connectors.mongodb.bson.table import Table
from headrace.connectors.mongodb.cells import column
from headrace.ir.schema import Field
from tests.connectors.mongodb.bson.documents import with_element

BAD = object()
"""A cell that the row is rejected for."""
SOME_ID = "65920080a1b2c3d4e5f60718"
UUID_TEXT = "c8edabc3-f738-4ca3-b68d-ab92a91478a3"
NOON = datetime(2024, 1, 31, 12, 0, 0, 500000, UTC)


def read(field: Field, *documents: bytes) -> tuple[list[Any], list[tuple[Any, ...]]]:
    table = Table.of(b"".join(documents), [b"v"])
    found = column(table.buffer, table.found[b"v"], field, table.rows)
    assert len(found.values) == len(documents)
    return found.values.to_list(), [] if found.rejects is None else found.rejects.rows()


def one(data_type: str, value: Any, **size: int) -> Any:
    field = Field("v", data_type, **size)  # type: ignore[arg-type]
    values, rejects = read(field, bson.encode({"v": value}))
    if not rejects:
        return values[0]
    assert values == [None]
    assert rejects[0][0] == 0
    return BAD


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            2**31 - 1,
            {"integer": 2**31 - 1, "bigint": 2**31 - 1, "smallint": BAD, "text": "2147483647", "double": 2.0**31 - 1},
        ),
        (
            1,
            {
                "integer": 1,
                "boolean": True,
                "decimal": Decimal(1),
                "json": "1",
                "timestamptz": BAD,
                "uuid": BAD,
                "date": BAD,
            },
        ),
        (2, {"boolean": BAD}),
        (
            Int64(2**63 - 1),
            {"bigint": 2**63 - 1, "integer": BAD, "double": BAD, "json": str(2**63 - 1), "decimal": Decimal(2**63 - 1)},
        ),
        (Int64(2**53 + 1), {"double": BAD, "text": str(2**53 + 1)}),
        (Int64(2**53), {"double": 2.0**53}),
        (1.0, {"integer": 1, "bigint": 1, "text": "1.0", "json": "1.0", "decimal": Decimal(1), "boolean": BAD}),
        (1.5, {"integer": BAD, "double": 1.5, "decimal": Decimal("1.5")}),
        (0.1, {"double": 0.1, "decimal": Decimal("0.1"), "text": "0.1"}),
        (1e300, {"bigint": BAD, "decimal": BAD, "double": 1e300, "json": "1e+300"}),
        (2.0**63, {"bigint": BAD}),
        (
            float("inf"),
            {
                "double": float("inf"),
                "text": "Infinity",
                "decimal": BAD,
                "integer": BAD,
                "json": '{"$numberDouble":"Infinity"}',
            },
        ),
        (float("-inf"), {"text": "-Infinity"}),
        (True, {"boolean": True, "text": "true", "json": "true", "integer": BAD}),
        ("", {"text": "", "json": '""', "integer": None}),
        ("12", {"integer": 12, "text": "12", "json": '"12"', "double": 12.0}),
        ("x", {"integer": BAD, "boolean": BAD, "date": BAD}),
        ("2024-01-31", {"date": date(2024, 1, 31), "timestamptz": datetime(2024, 1, 31, tzinfo=UTC)}),
        (UUID_TEXT, {"uuid": UUID_TEXT}),
        (ObjectId(SOME_ID), {"text": SOME_ID, "json": f'{{"$oid":"{SOME_ID}"}}', "integer": BAD, "uuid": BAD}),
        (ObjectId("1" * 24), {"decimal": BAD, "double": BAD}),  # its digits are no number
        (Binary.from_uuid(UUID(UUID_TEXT)), {"uuid": UUID_TEXT, "text": UUID_TEXT}),
        (
            Binary(b"\x00\xff", 0),
            {"text": "\\x00ff", "uuid": BAD, "json": '{"$binary":{"base64":"AP8=","subType":"00"}}'},
        ),
        (Binary(b"1" * 16, 3), {"text": "\\x" + "31" * 16, "uuid": BAD}),  # its bytes may be in two orders
        (Binary(b"", 2), {"text": "\\x"}),
        (Binary(b"ab", 2), {"text": "\\x6162"}),
        (Timestamp(5, 6), {"json": '{"$timestamp":{"t":5,"i":6}}', "timestamptz": BAD, "bigint": BAD}),
        (Regex("^a", "i"), {"text": '{"$regularExpression":{"pattern":"^a","options":"i"}}'}),
        (Code("f()"), {"json": '{"$code":"f()"}', "text": '{"$code":"f()"}'}),
        (Code("f", {"x": 1}), {"json": '{"$code":"f","$scope":{"x":1}}'}),
        (MinKey(), {"json": '{"$minKey":1}', "integer": BAD}),
        (MaxKey(), {"json": '{"$maxKey":1}'}),
        ([1, "a"], {"json": '[1,"a"]', "text": '[1,"a"]', "integer": BAD}),
        ({"a": {"b": [None]}}, {"json": '{"a":{"b":[null]}}', "boolean": BAD}),
        (None, {"integer": None, "text": None, "json": None, "uuid": None}),
    ],
)
def test_every_type(value: Any, expected: dict[str, Any]) -> None:
    assert {name: one(name, value) for name in expected} == expected


def test_not_a_number_is_a_double_and_no_decimal() -> None:
    assert one("double", float("nan")) != one("double", float("nan"))
    assert (one("text", float("nan")), one("integer", float("nan")), one("decimal", float("nan"))) == ("NaN", BAD, BAD)
    assert (one("decimal", Decimal128("NaN")), one("text", Decimal128("NaN"))) == (BAD, "NaN")


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        ("1.10", {}, Decimal("1.1")),
        ("99999999999999999999999999999.999999999", {}, Decimal("99999999999999999999999999999.999999999")),
        (
            "1234567890123456789012345678901234",
            {"precision": 34, "scale": 0},
            Decimal("1234567890123456789012345678901234"),
        ),
        ("1234567890123456789012345678901234", {}, BAD),
        (
            "0.1234567890123456789012345678901234",
            {"precision": 38, "scale": 34},
            Decimal("0.1234567890123456789012345678901234"),
        ),
        ("1E-10", {}, BAD),
        ("1E+3", {}, Decimal(1000)),
        ("1E+6000", {}, BAD),
        ("-0.5", {"precision": 3, "scale": 1}, Decimal("-0.5")),
    ],
)
def test_decimals(text: str, size: dict[str, int], expected: Any) -> None:
    if len(text.replace(".", "").lstrip("-0")) > 34:
        text = text[:35]
        expected = Decimal(text)
    assert one("decimal", Decimal128(text), **size) == expected
    assert one("text", Decimal128(text)) == str(Decimal128(text))


@pytest.mark.parametrize(
    ("text", "data_type", "expected"),
    [
        ("5", "integer", 5),
        ("5.00", "integer", 5),
        ("5.5", "integer", BAD),
        ("9223372036854775808", "bigint", BAD),
        ("0.1", "double", 0.1),
        ("0.12345678901234567", "double", BAD),
        ("Infinity", "double", float("inf")),
        ("1E+500", "double", BAD),
        ("1E-500", "double", BAD),
        ("0E-500", "double", 0.0),
        ("1.5", "boolean", BAD),
    ],
)
def test_decimals_as_other_numbers(text: str, data_type: str, expected: Any) -> None:
    assert one(data_type, Decimal128(text)) == expected


class TestDates:
    def test_are_moments_to_the_millisecond(self) -> None:
        assert one("timestamptz", NOON) == NOON
        assert one("timestamp", NOON) == NOON.replace(tzinfo=None)
        assert one("text", NOON) == "2024-01-31T12:00:00.500Z"
        assert one("json", NOON) == '{"$date":"2024-01-31T12:00:00.500Z"}'
        assert one("timestamptz", DatetimeMS(-1)) == datetime(1969, 12, 31, 23, 59, 59, 999000, UTC)

    def test_have_the_years_1_to_9999(self) -> None:
        assert one("timestamptz", DatetimeMS(-62135596800000)) == datetime(1, 1, 1, tzinfo=UTC)
        assert one("timestamptz", DatetimeMS(253402300799999)) == datetime(9999, 12, 31, 23, 59, 59, 999000, UTC)
        for far in (-62135596800001, 253402300800000, 2**63 - 1, -(2**63)):
            assert one("timestamptz", DatetimeMS(far)) is BAD
            assert one("text", DatetimeMS(far)) == f'{{"$date":{{"$numberLong":"{far}"}}}}'

    def test_are_a_day_at_midnight_alone(self) -> None:
        assert one("date", datetime(2024, 1, 31)) == date(2024, 1, 31)
        assert one("date", NOON) is BAD
        assert one("time", NOON) is BAD


def test_types_may_differ_from_document_to_document() -> None:
    given: list[Any] = [1, "two", None, Int64(3), 4.0, [5]]
    documents = [bson.encode({"v": value}) for value in given] + [bson.encode({})]
    values, rejects = read(Field("v", "integer"), *documents)
    assert values == [1, None, None, 3, 4, None, None]
    assert [(row, name, value, rule) for row, name, value, _, rule in rejects] == [
        (1, "v", "two", "type"),
        (5, "v", "[5]", "type"),
    ]
    assert rejects[1][3] == "Expected integer, not a value of the type array"
    assert read(Field("v", "text"), *documents)[0] == ["1", "two", None, "3", "4.0", "[5]", None]
    assert read(Field("v", "json"), *documents)[0] == ["1", '"two"', None, "3", "4.0", "[5]", None]


def test_a_key_that_is_there_twice_rejects_the_row() -> None:
    twice = with_element(bson.encode({"v": 1}), b"\x10v\0\x02\0\0\0")
    nested = bson.encode({"v": {"a": 1}})
    inner = with_element(bson.encode({"a": 1}), b"\x10a\0\x02\0\0\0")
    nested = bson.encode({})[:4] + b"\x03v\0" + inner + b"\0"
    nested = len(nested).to_bytes(4, "little") + nested[4:]
    values, rejects = read(Field("v", "json"), twice, bson.encode({"v": 7}), nested)
    assert values == [None, "7", None]
    assert sorted((row, name, rule) for row, name, _, _, rule in rejects) == [
        (0, None, "duplicate"),
        (2, None, "encoding"),
    ]
    assert "'v'" in rejects[0][3]


@pytest.mark.parametrize("data_type", ["text", "json", "integer"])
def test_text_that_is_not_utf8_rejects_the_row(data_type: str) -> None:
    broken = bson.encode({"v": "M_nchen"}).replace(b"M_nchen", b"M\xfcnchen")
    values, rejects = read(Field("v", data_type), bson.encode({"v": "1"}), broken)  # type: ignore[arg-type]
    assert values[1] is None
    assert [(row, name, rule) for row, name, _, _, rule in rejects] == [(1, None, "encoding")]
    assert rejects[0][3] == "A text that is not UTF-8: 'v'"
