"""Redshift's types, values of each, and the expected values in a batch, selected or unloaded."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

ERROR = object()
"""The row is an error row with the server's text of the value."""

VALUES: dict[str, list[tuple[str, Any]]] = {
    "smallint": [("-32768", -32768), ("32767", 32767)],
    "integer": [("-2147483648", -2147483648), ("2147483647", 2147483647)],
    "bigint": [("-9223372036854775808", -(2**63)), ("9223372036854775807", 2**63 - 1), ("0", 0)],
    "numeric(12,2)": [("0.10", Decimal("0.10")), ("-9999999999.99", Decimal("-9999999999.99"))],
    "numeric(38,0)": [("9" * 38, Decimal("9" * 38)), ("-" + "9" * 38, Decimal("-" + "9" * 38))],
    "numeric(38,37)": [("9." + "9" * 37, Decimal("9." + "9" * 37))],
    "real": [("0.1", 0.10000000149011612), ("16777217", 16777216.0), ("3.4028235e38", 3.4028234663852886e38)],
    "double precision": [
        ("0.1", 0.1),
        ("0.30000000000000004", 0.30000000000000004),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ("5e-324", 5e-324),
        ("-0", -0.0),
        ("Infinity", float("inf")),
    ],
    "boolean": [("true", True), ("false", False)],
    "varchar(40)": [
        ("", ""),
        (" a ", " a "),
        ("NULL", "NULL"),
        ("a\\b\"c,d\te\nf'g", "a\\b\"c,d\te\nf'g"),
        ("\ufeffé😀", "\ufeffé😀"),
    ],
    "char(5)": [("ab", "ab"), ("", "")],
    "date": [
        ("2024-02-29", date(2024, 2, 29)),
        ("0001-01-01", date(1, 1, 1)),
        ("9999-12-31", date(9999, 12, 31)),
        ("0044-03-15 BC", ERROR),
        ("10000-01-01", ERROR),
    ],
    "time": [("23:59:59.999999", time(23, 59, 59, 999999)), ("00:00", time(0)), ("24:00:00", ERROR)],
    "timetz": [("10:00:00.5+00", "10:00:00.5+00")],
    "timestamp": [
        ("2024-01-31 10:00:00.123456", datetime(2024, 1, 31, 10, 0, 0, 123456)),
        ("0001-01-01", datetime(1, 1, 1)),
        ("9999-12-31 23:59:59.999999", datetime(9999, 12, 31, 23, 59, 59, 999999)),
        ("4713-01-01 00:00:00 BC", ERROR),
        ("294276-12-31 23:59:59.999999", ERROR),
    ],
    "timestamptz": [
        ("2024-01-31 10:00:00.1+05:30", datetime(2024, 1, 31, 4, 30, 0, 100000, tzinfo=UTC)),
        ("0001-01-01 00:00:00+00", datetime(1, 1, 1, tzinfo=UTC)),
        ("0044-03-15 10:00:00+00 BC", ERROR),
        ("10000-01-01 00:00:00+00", ERROR),
    ],
    "super": [
        ('{"b":1.10,"a":1e400,"c":"\\u00e9\'"}', '{"b":1.10,"a":1e400,"c":"\\u00e9\'"}'),
        ("12345678901234567890.123456789", "12345678901234567890.123456789"),
        ("null", "null"),
        ('"text"', '"text"'),
    ],
    "varbyte": [("00ff5c0a", "\\x00ff5c0a"), ("", "\\x")],
    "geometry": [("0101000000000000000000F03F0000000000000040",) * 2],
    "hllsketch": [('{"version":1,"logm":15}', '{"version":1,"logm":15}')],
}

NOT_UNLOADED = ("geometry", "hllsketch")
