"""PostgreSQL's types, values of each, and the expected values in a batch."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

ERROR = object()
"""The row is an error row with the server's text of the value."""

_LONG = "12345678901234567890.1234567890123456789"

VALUES: dict[str, list[tuple[str, Any]]] = {
    "smallint": [("-32768", -32768), ("32767", 32767)],
    "integer": [("-2147483648", -2147483648), ("2147483647", 2147483647)],
    "bigint": [("-9223372036854775808", -(2**63)), ("9223372036854775807", 2**63 - 1), ("0", 0)],
    "oid": [("4294967295", 4294967295)],
    "numeric(12,2)": [("0.10", Decimal("0.10")), ("-9999999999.99", Decimal("-9999999999.99")), ("NaN", ERROR)],
    "numeric(38,0)": [("9" * 38, Decimal("9" * 38)), ("-" + "9" * 38, Decimal("-" + "9" * 38))],
    "numeric(38,38)": [("0." + "1" * 38, Decimal("0." + "1" * 38))],
    "numeric(5,-2)": [("1234567", Decimal(1234600))],
    "numeric(3,5)": [("0.00999", Decimal("0.00999"))],
    "numeric(60,20)": [("1" * 40 + "." + "1" * 20, "1" * 40 + "." + "1" * 20), ("NaN", "NaN")],
    "numeric": [
        ("1.5", Decimal("1.500000000")),
        ("12345678901234567890123456789.123456789", Decimal("12345678901234567890123456789.123456789")),
        ("1e-9", Decimal("0.000000001")),
        ("1e-30", ERROR),
        ("1e30", ERROR),
        (_LONG, ERROR),
        ("NaN", ERROR),
        ("Infinity", ERROR),
        ("-Infinity", ERROR),
    ],
    "real": [("0.1", 0.10000000149011612), ("3.4028235e38", 3.4028234663852886e38), ("1e-45", 1.401298464324817e-45)],
    "double precision": [
        ("0.1", 0.1),
        ("0.30000000000000004", 0.30000000000000004),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ("5e-324", 5e-324),
        ("-0", -0.0),
        ("Infinity", float("inf")),
        ("-Infinity", float("-inf")),
    ],
    "money": [("-92233720368547758.08", Decimal("-92233720368547758.08")), ("0.01", Decimal("0.01"))],
    "boolean": [("true", True), ("false", False)],
    "text": [
        ("", ""),
        (" a ", " a "),
        ("\\N", "\\N"),
        ('a\\b"c,d\te\nf\rg', 'a\\b"c,d\te\nf\rg'),
        ("\ufeffé😀", "\ufeffé😀"),
    ],
    "varchar(5)": [("", ""), ("abcde", "abcde"), ("ab  ", "ab  ")],
    "char(5)": [("ab", "ab   "), ("", "     ")],
    '"char"': [("x", "x")],
    "name": [("n" * 63, "n" * 63)],
    "bytea": [("\\x00ff5c0a", "\\x00ff5c0a"), ("", "\\x")],
    "uuid": [("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")],
    "date": [
        ("2024-02-29", date(2024, 2, 29)),
        ("0001-01-01", date(1, 1, 1)),
        ("9999-12-31", date(9999, 12, 31)),
        ("infinity", ERROR),
        ("-infinity", ERROR),
        ("0044-03-15 BC", ERROR),
        ("10000-01-01", ERROR),
    ],
    "time": [("23:59:59.999999", time(23, 59, 59, 999999)), ("00:00", time(0)), ("24:00:00", ERROR)],
    "time(0)": [("10:00:00", time(10))],
    "timetz": [("24:00:00+15:59", "24:00:00+15:59"), ("10:00:00.5-03", "10:00:00.5-03")],
    "timestamp": [
        ("2024-01-31 10:00:00.123456", datetime(2024, 1, 31, 10, 0, 0, 123456)),
        ("0001-01-01", datetime(1, 1, 1)),
        ("9999-12-31 23:59:59.999999", datetime(9999, 12, 31, 23, 59, 59, 999999)),
        ("infinity", ERROR),
        ("4713-01-01 00:00:00 BC", ERROR),
        ("294276-12-31 23:59:59.999999", ERROR),
    ],
    "timestamptz": [
        ("2024-01-31 10:00:00.1+05:30", datetime(2024, 1, 31, 4, 30, 0, 100000, tzinfo=UTC)),
        ("2024-01-31 10:00:00", datetime(2024, 1, 31, 10, tzinfo=UTC)),
        ("0001-01-01 00:00:00+00", datetime(1, 1, 1, tzinfo=UTC)),
        ("-infinity", ERROR),
        ("0044-03-15 10:00:00+00 BC", ERROR),
        ("10000-01-01 00:00:00+00", ERROR),
    ],
    "interval": [
        ("1 year 2 mons -3 days +04:05:06.789", "1 year 2 mons -3 days +04:05:06.789"),
        ("-00:00:00.000001", "-00:00:00.000001"),
        ("infinity", "infinity"),
    ],
    "json": [
        ('{"b": 1.10, "a":  1e400, "a": "\\u00e9"}', '{"b": 1.10, "a":  1e400, "a": "\\u00e9"}'),
        ("null", "null"),
    ],
    "jsonb": [
        ('{"n": 1234567890.123456789012345678901234567890}', '{"n": 1234567890.123456789012345678901234567890}'),
        ('"a\\nb\\\\c"', '"a\\nb\\\\c"'),
    ],
    "integer[]": [
        ("{1,NULL,3}", "{1,NULL,3}"),
        ("[0:1]={1,2}", "[0:1]={1,2}"),
        ("{}", "{}"),
        ("{{1},{2}}", "{{1},{2}}"),
    ],
    "text[]": [('{"a,b","c\\"d","",NULL,"NULL","e\\\\f"}', '{"a,b","c\\"d","",NULL,"NULL","e\\\\f"}')],
    "numeric(10,2)[]": [("{1.10,NaN}", "{1.10,NaN}")],
    "bit(5)": [("10110", "10110")],
    "bit varying": [("", ""), ("101", "101")],
    "int4range": [("[1,5)", "[1,5)"), ("empty", "empty")],
    "tstzrange": [('["2024-01-01 00:00:00+00",)', '["2024-01-01 00:00:00+00",)')],
    "int8multirange": [("{[1,3),[5,)}", "{[1,3),[5,)}")],
    "inet": [("192.168.0.1/24", "192.168.0.1/24"), ("::1", "::1")],
    "cidr": [("10.0.0.0/8", "10.0.0.0/8")],
    "macaddr": [("08:00:2b:01:02:03", "08:00:2b:01:02:03")],
    "point": [("(1.5,-0.1)", "(1.5,-0.1)")],
    "tsvector": [("'fat':2 'rat':3", "'fat':2 'rat':3")],
    "pg_lsn": [("16/B374D848", "16/B374D848")],
    "shade": [("dark blue", "dark blue"), ("", "")],
    "amount": [("12.34", Decimal("12.34")), ("NaN", ERROR)],
    "code": [("ab", "ab")],
    "pair": [('(1,"a,""b\\\\c")', '(1,"a,""b\\\\c")')],
    "pair[]": [('{"(1,a)",NULL}', '{"(1,a)",NULL}')],
}

TYPES = (
    "CREATE TYPE {schema}.shade AS ENUM ('dark blue', '')",
    "CREATE DOMAIN {schema}.amount_inner AS numeric(8,2)",
    "CREATE DOMAIN {schema}.amount AS {schema}.amount_inner",
    "CREATE DOMAIN {schema}.code AS varchar(3) CHECK (VALUE <> '')",
    "CREATE TYPE {schema}.pair AS (n int, t text)",
)
