"""Value by value: every type of BSON in every type of field, exactly or as a cell that the row is rejected for."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import bson
import pytest
from bson import Decimal128, Int64
from bson.datetime_ms import DatetimeMS

from headrace.connectors.mongodb.bson.table import Table
from headrace.connectors.mongodb.cells import column
from headrace.ir.schema import Field
from tests.connectors.mongodb.bson.documents import with_element
from tests.connectors.mongodb.values import BAD, CELLS


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


@pytest.mark.parametrize(("value", "expected"), CELLS)
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


def test_dates_have_the_years_1_to_9999() -> None:
    assert one("timestamptz", DatetimeMS(-1)) == datetime(1969, 12, 31, 23, 59, 59, 999000, UTC)
    for far in (-62135596800001, 253402300800000, 2**63 - 1, -(2**63)):
        assert one("timestamptz", DatetimeMS(far)) is BAD
        assert one("text", DatetimeMS(far)) == f'{{"$date":{{"$numberLong":"{far}"}}}}'


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
