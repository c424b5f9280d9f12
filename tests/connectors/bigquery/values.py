"""BigQuery's types, values of each in the Arrow form that Google documents, and the expected values in a batch."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa

from tests.connectors.sent_values import ERROR, Sent, unchanged

TINY = Decimal(1).scaleb(-38)
MOST = Decimal("9" * 38 + "." + "9" * 38)
LAST = datetime(9999, 12, 31, 23, 59, 59, 999999)

_BIG = [MOST, MOST.copy_negate(), TINY, TINY.copy_negate(), Decimal("1.5"), Decimal(0)]
_FLOATS = (1e-300, -0.1, 5e-324, 1.7976931348623157e308, -0.0, float("inf"), -float("inf"), float("nan"))

SENT = {
    "INTEGER": Sent(pa.int64(), "bigint", unchanged(2**63 - 1, -(2**63), 0)),
    "BOOLEAN": Sent(pa.bool_(), "boolean", unchanged(True, False)),
    "FLOAT": Sent(pa.float64(), "double", unchanged(*_FLOATS)),
    "NUMERIC": Sent(
        pa.decimal128(38, 9), "decimal", unchanged(Decimal("9" * 29 + "." + "9" * 9), Decimal(-1).scaleb(-9))
    ),
    "NUMERIC(10, 2)": Sent(
        pa.decimal128(38, 9),
        "decimal",
        [(Decimal("12345678.900000000"), Decimal("12345678.90")), (Decimal("-0.010000000"), Decimal("-0.01"))],
        {"precision": "10", "scale": "2"},
    ),
    "NUMERIC(10)": Sent(
        pa.decimal128(38, 9), "decimal", [(Decimal("1234567890"), Decimal(1234567890))], {"precision": "10"}
    ),
    "BIGNUMERIC": Sent(pa.decimal256(76, 38), "text", [(each, f"{each:f}") for each in _BIG]),
    "BIGNUMERIC(38, 38)": Sent(
        pa.decimal256(76, 38),
        "decimal",
        unchanged(Decimal("0." + "9" * 38), TINY),
        {"precision": "38", "scale": "38"},
    ),
    "BIGNUMERIC(38)": Sent(pa.decimal256(76, 38), "decimal", unchanged(Decimal("9" * 38)), {"precision": "38"}),
    "STRING": Sent(pa.string(), "text", unchanged("", "é\n\t\\\"'", " x ", "\U0001f600")),
    "STRING(3)": Sent(pa.string(), "varchar", unchanged("", "abc"), {"maxLength": "3"}),
    "STRING COLLATE 'und:ci'": Sent(pa.string(), "text", unchanged("A"), {"collation": "und:ci"}),
    "BYTES": Sent(pa.binary(), "text", [(b"", "\\x"), (b"\x00\xff", "\\x00ff"), (b"\\", "\\x5c")]),
    "DATE": Sent(pa.date32(), "date", unchanged(date(1, 1, 1), date(9999, 12, 31))),
    "TIME": Sent(pa.time64("us"), "time", unchanged(time(0), time(23, 59, 59, 999999))),
    "DATETIME": Sent(pa.timestamp("us"), "timestamp", unchanged(datetime(1, 1, 1), LAST)),
    "TIMESTAMP": Sent(
        pa.timestamp("us", "UTC"),
        "timestamptz",
        unchanged(datetime(1, 1, 1, tzinfo=UTC), LAST.replace(tzinfo=UTC)),
    ),
    "TIMESTAMP(12)": Sent(
        pa.string(),
        "timestamptz",
        [
            ("2024-01-01T10:00:00.123456000000Z", datetime(2024, 1, 1, 10, 0, 0, 123456, UTC)),
            ("2024-01-01T10:00:00.123456000001Z", ERROR),
        ],
        {"timestampPrecision": "12"},
    ),
    "JSON": Sent(pa.string(), "json", unchanged('{"n": 1.10}', "12345678901234567890.123456789", "null")),
    "GEOGRAPHY": Sent(pa.string(), "text", unchanged("POINT(1 2)")),
}


def described(kind: str) -> dict[str, Any]:
    """The column `v` of a type as the API describes it."""
    name, _, _ = kind.replace("(", " ").partition(" ")
    return {"name": "v", "type": name, "mode": "NULLABLE", **SENT[kind].more}
