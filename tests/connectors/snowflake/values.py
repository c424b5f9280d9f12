"""Snowflake's types, values of each in Snowflake's own Arrow form, and the expected values in a batch.

A NUMBER is sent as its digits, a timestamp as seconds and nanoseconds or as one number in units of its scale, a time as
the latter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa

from tests.connectors.sent_values import ERROR


@dataclass(frozen=True, slots=True)
class Column:
    """A column of one type: `values` are what Snowflake shows, what it sends, and what it is in a batch."""

    logical: str
    arrow: pa.DataType
    data_type: str
    values: Sequence[tuple[str, Any, Any]]
    size: Mapping[str, int] = field(default_factory=dict)

    @property
    def array(self) -> pa.Array:
        """What is sent, and null at the end."""
        return pa.array([*(sent for _, sent, _ in self.values), None], self.arrow)


def _number(precision: int, scale: int) -> dict[str, int]:
    return {"precision": precision, "scale": scale}


def _texts(*values: str) -> list[tuple[str, str, str]]:
    return [(value, value, value) for value in values]


_TWO = pa.struct([pa.field("epoch", pa.int64(), nullable=False), pa.field("fraction", pa.int32(), nullable=False)])
_THREE = pa.struct([("epoch", pa.int64()), ("fraction", pa.int32()), ("timezone", pa.int32())])
_EPOCH_AND_ZONE = pa.struct([("epoch", pa.int64()), ("timezone", pa.int32())])
_MOMENTS = [
    ("2024-01-01 10:00:00.123456000", (1704103200, 123456000), datetime(2024, 1, 1, 10, 0, 0, 123456)),
    ("1969-12-31 23:59:59.999999000", (-1, 999999000), datetime(1969, 12, 31, 23, 59, 59, 999999)),
    ("9999-12-31 23:59:59.000000000", (253402300799, 0), datetime(9999, 12, 31, 23, 59, 59)),
    ("0001-01-01 00:00:00.000000000", (-62135596800, 0), datetime(1, 1, 1)),
    ("1970-01-01 00:00:00.000000001", (0, 1), ERROR),
    ("9999-12-31 23:59:59.999999999", (253402300799, 999999999), ERROR),
]


def _moments(zone: Any) -> list[tuple[str, Any, Any]]:
    return [
        (
            f"{shown} +0000" if zone else shown,
            {"epoch": epoch, "fraction": fraction},
            expected.replace(tzinfo=zone) if isinstance(expected, datetime) else expected,
        )
        for shown, (epoch, fraction), expected in _MOMENTS
    ]


COLUMNS = {
    "NUMBER(4,0)": Column("FIXED", pa.int8(), "smallint", [("1", 1, 1), ("-99", -99, -99)], _number(4, 0)),
    "NUMBER(9,0)": Column("FIXED", pa.int32(), "integer", [("999999999", 999999999, 999999999)], _number(9, 0)),
    "NUMBER(18,0)": Column(
        *("FIXED", pa.int64(), "bigint", [("-" + "9" * 18, -(10**18) + 1, -(10**18) + 1)], _number(18, 0))
    ),
    "NUMBER(18,4)": Column(
        "FIXED",
        pa.int64(),
        "decimal",
        [
            ("12345678901234.5678", 123456789012345678, Decimal("12345678901234.5678")),
            ("-0.0001", -1, Decimal("-0.0001")),
        ],
        _number(18, 4),
    ),
    "NUMBER(38,0)": Column(
        "FIXED",
        pa.decimal128(38, 0),
        "decimal",
        [
            ("9" * 38, Decimal("9" * 38), Decimal("9" * 38)),
            ("-" + "9" * 38, Decimal("-" + "9" * 38), Decimal("-" + "9" * 38)),
        ],
        _number(38, 0),
    ),
    "NUMBER(38,37)": Column(
        "FIXED",
        pa.int64(),
        "decimal",
        [("0." + "0" * 36 + "1", 1, Decimal(1).scaleb(-37)), ("0." + "0" * 18 + "9", 9 * 10**18, Decimal("9E-19"))],
        _number(38, 37),
    ),
    "FLOAT": Column(
        "REAL",
        pa.float64(),
        "double",
        [(repr(each), each, each) for each in (1e-300, -0.1, 5e-324, -0.0, float("inf"), float("nan"))],
    ),
    "BOOLEAN": Column("BOOLEAN", pa.bool_(), "boolean", [("TRUE", True, True), ("FALSE", False, False)]),
    "VARCHAR": Column("TEXT", pa.string(), "text", _texts("", "é\n\t\\", " x "), {"length": 16777216}),
    "VARCHAR(20)": Column("TEXT", pa.string(), "varchar", _texts("", "abc"), {"length": 20}),
    "BINARY": Column(
        "BINARY",
        pa.binary(),
        "text",
        [("x''", b"", "\\x"), ("x'00FF'", b"\x00\xff", "\\x00ff"), ("x'5C'", b"\\", "\\x5c")],
        {"length": 8388608},
    ),
    "DATE": Column(
        "DATE",
        pa.date32(),
        "date",
        [("0001-01-01", -719162, date(1, 1, 1)), ("9999-12-31", 2932896, date(9999, 12, 31))],
    ),
    "TIME(0)": Column(
        *("TIME", pa.int32(), "time", [("23:59:59", 86399, time(23, 59, 59)), ("00:00:00", 0, time(0))], {"scale": 0})
    ),
    "TIME(9)": Column(
        "TIME",
        pa.int64(),
        "time",
        [
            ("12:13:14.123456000", 43994123456000, time(12, 13, 14, 123456)),
            ("12:13:14.123456789", 43994123456789, ERROR),
        ],
        {"scale": 9},
    ),
    "TIMESTAMP_NTZ(2)": Column(
        "TIMESTAMP_NTZ",
        pa.int64(),
        "timestamp",
        [("1969-12-31 23:59:59.99", -1, datetime(1969, 12, 31, 23, 59, 59, 990000))],
        _number(0, 2),
    ),
    "TIMESTAMP_NTZ(9)": Column("TIMESTAMP_NTZ", _TWO, "timestamp", _moments(None), _number(0, 9)),
    "TIMESTAMP_LTZ(9)": Column("TIMESTAMP_LTZ", _TWO, "timestamptz", _moments(UTC), _number(0, 9)),
    "TIMESTAMP_TZ(6)": Column(
        "TIMESTAMP_TZ",
        _EPOCH_AND_ZONE,
        "timestamptz",
        [
            (
                "2024-01-01 02:00:00.123456 -0800",
                {"epoch": 1704103200123456, "timezone": 1440 - 480},
                datetime(2024, 1, 1, 10, 0, 0, 123456, UTC),
            )
        ],
        _number(0, 6),
    ),
    "TIMESTAMP_TZ(9)": Column(
        "TIMESTAMP_TZ",
        _THREE,
        "timestamptz",
        [
            (
                "2024-01-01 15:30:00.123456000 +0530",
                {"epoch": 1704103200, "fraction": 123456000, "timezone": 1440 + 330},
                datetime(2024, 1, 1, 10, 0, 0, 123456, UTC),
            )
        ],
        _number(0, 9),
    ),
    "VARIANT": Column(
        "VARIANT", pa.string(), "json", _texts('{"n": 1.10}', '"x"', "12345678901234567890.123456789", "null")
    ),
    "OBJECT": Column("OBJECT", pa.string(), "json", _texts('{\n  "b": 1,\n  "a": [1, null]\n}', "{}")),
    "ARRAY": Column("ARRAY", pa.string(), "json", _texts("[\n  1\n]", "[]")),
    "GEOGRAPHY": Column("GEOGRAPHY", pa.string(), "text", _texts("SRID=4326;POINT(1 2)")),
}
