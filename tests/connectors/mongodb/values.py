"""Values of BSON's types, and what each is as a cell of fields of several types."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from bson import Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import Binary
from bson.datetime_ms import DatetimeMS
from bson.json_util import CANONICAL_JSON_OPTIONS, dumps

BAD = object()
"""A cell that the row is rejected for."""
SOME_ID = "65920080a1b2c3d4e5f60718"
UUID_TEXT = "c8edabc3-f738-4ca3-b68d-ab92a91478a3"
NOON = datetime(2024, 1, 31, 12, 0, 0, 500000, UTC)

CELLS: list[tuple[Any, dict[str, Any]]] = [
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
    (
        NOON,
        {
            "timestamptz": NOON,
            "timestamp": NOON.replace(tzinfo=None),
            "text": "2024-01-31T12:00:00.500Z",
            "json": '{"$date":"2024-01-31T12:00:00.500Z"}',
            "date": BAD,
            "time": BAD,
        },
    ),
    (datetime(2024, 1, 31, tzinfo=UTC), {"date": date(2024, 1, 31)}),
    (DatetimeMS(-62135596800000), {"timestamptz": datetime(1, 1, 1, tzinfo=UTC)}),
    (DatetimeMS(253402300799999), {"timestamptz": datetime(9999, 12, 31, 23, 59, 59, 999000, UTC)}),
    (
        DatetimeMS(253402300800000),
        {"timestamptz": BAD, "text": '{"$date":{"$numberLong":"253402300800000"}}'},
    ),
    (Decimal128("1.10"), {"decimal": Decimal("1.1"), "text": "1.10", "double": 1.1, "integer": BAD}),
    (Decimal128("5.00"), {"integer": 5}),
    (Decimal128("0.12345678901234567"), {"double": BAD, "decimal": BAD}),
    (Decimal128("1E+6000"), {"decimal": BAD, "text": "1E+6000"}),
    (Decimal128("NaN"), {"decimal": BAD, "text": "NaN"}),
    (None, {"integer": None, "text": None, "json": None, "uuid": None}),
]
"""Each value with the fields that were tried, by their type."""


def shown() -> dict[str, list[tuple[str, Any]]]:
    """By the type of a field: each value as Extended JSON, and what it is in a batch."""
    by_field: dict[str, list[tuple[str, Any]]] = {}
    for value, cells in CELLS:
        for data_type, expected in cells.items():
            written = dumps(value, json_options=CANONICAL_JSON_OPTIONS)
            by_field.setdefault(data_type, []).append((written, expected))
    return by_field
