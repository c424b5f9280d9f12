"""Databricks' types, values of each as the protocol sends them, and the expected values in a batch."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa

from tests.connectors.sent_values import ERROR, Sent, unchanged

LAST = datetime(9999, 12, 31, 23, 59, 59, 999999)
AFTER = 253402300800000000
"""The microseconds from 1970 to the year 10000, which Python's datetime does not have. 290,000 is the last year that
Databricks has."""

SENT = {
    "tinyint": Sent(pa.int8(), "smallint", unchanged(-128, 127)),
    "smallint": Sent(pa.int16(), "smallint", unchanged(-(2**15), 2**15 - 1)),
    "int": Sent(pa.int32(), "integer", unchanged(-(2**31), 2**31 - 1)),
    "bigint": Sent(pa.int64(), "bigint", unchanged(-(2**63), 2**63 - 1)),
    "decimal(38,18)": Sent(
        pa.decimal128(38, 18), "decimal", unchanged(Decimal("9" * 20 + "." + "9" * 18), Decimal("-1").scaleb(-18))
    ),
    "decimal(38,0)": Sent(pa.decimal128(38, 0), "decimal", unchanged(Decimal("9" * 38))),
    "float": Sent(pa.float32(), "double", [(0.1, 0.10000000149011612), (-0.0, -0.0)]),
    "double": Sent(pa.float64(), "double", unchanged(1e-300, -0.1, 5e-324, -0.0, float("inf"), float("nan"))),
    "boolean": Sent(pa.bool_(), "boolean", unchanged(True, False)),
    "string": Sent(pa.string(), "text", unchanged("", "é\n\t\\'", " x ")),
    "varchar(5)": Sent(pa.string(), "varchar", unchanged("", "abcde")),
    "string collate UNICODE_CI": Sent(pa.string(), "text", unchanged("A")),
    "binary": Sent(pa.binary(), "text", [(b"", "\\x"), (b"\x00\xff", "\\x00ff")]),
    "date": Sent(pa.date32(), "date", unchanged(date(1, 1, 1), date(9999, 12, 31))),
    "timestamp_ntz": Sent(pa.timestamp("us"), "timestamp", unchanged(datetime(1, 1, 1), LAST)),
    "timestamp": Sent(
        pa.timestamp("us", "Etc/UTC"),
        "timestamptz",
        [
            *unchanged(datetime(1, 1, 1, tzinfo=UTC)),
            (AFTER, ERROR),
            *unchanged(LAST.replace(tzinfo=UTC)),
        ],
    ),
    "array<struct<a:int>>": Sent(pa.string(), "json", unchanged('[{"a":1},{"a":null}]', "[]")),
    "map<string,decimal(38,18)>": Sent(pa.string(), "json", unchanged('{"a":12345678901234567890.123456789012345678}')),
    "variant": Sent(pa.string(), "json", unchanged('{"n":1.10}', "null")),
    "interval day to second": Sent(pa.string(), "text", unchanged("INTERVAL '1 02:03:04.5' DAY TO SECOND")),
    "void": Sent(pa.null(), "text", []),
}

SHOWN = {AFTER: "10000-01-01 00:00:00+00:00"}
"""How values are written that are no values of Python's."""
