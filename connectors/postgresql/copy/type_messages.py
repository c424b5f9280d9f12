"""Messages about values that a column cannot take, without the values themselves."""

from __future__ import annotations

import re

from headrace.connectors.postgresql.tables.describe import Column
from headrace.ir.schema import EXPECTED

_EXAMPLES: dict[str, str] = {
    "numeric": EXPECTED["decimal"],
    "json": EXPECTED["json"],
    "jsonb": EXPECTED["json"],
    "uuid": EXPECTED["uuid"],
    "interval": "Expected interval, such as 1 day 02:30:00 or P1DT2H30M",
    "inet": "Expected IP address, such as 10.0.0.1 or 10.0.0.0/8",
    "cidr": "Expected network address, such as 10.0.0.0/8",
    "macaddr": "Expected MAC address, such as 08:00:2b:01:02:03",
    "macaddr8": "Expected MAC address, such as 08:00:2b:01:02:03:04:05",
    "money": "Expected amount of money, such as 12.50",
    "bit": "Expected bits, such as 1011",
    "varbit": "Expected bits, such as 1011",
    "timetz": "Expected time with time zone, such as 14:30:00+02",
    "bytea": "Expected bytes, such as \\x0aff",
    "xml": "Expected XML",
}
_QUOTED = re.compile(r'"(.*)"', re.DOTALL)


def expected_type(column: Column) -> str:
    """The values that the column accepts, with an example where the type's name is not enough."""
    if column.type_name in _EXAMPLES:
        return _EXAMPLES[column.type_name]
    if column.is_array:
        return f"Expected array ({column.sql_type}), such as {{…,…}} or a JSON list"
    return f"Expected a value of type {column.sql_type}"


def misfit_error(column: Column, sqlstate: str | None) -> str:
    """The message about a rejected value, by the SQLSTATE of the server's error (class 22, or 23514 of a domain)."""
    texts = {
        "22001": f"Value too long for {column.sql_type}",
        "22003": f"Value out of range for {column.sql_type}",
        "22026": f"Wrong length for {column.sql_type}",
        "22P05": "JSON holds \\u0000, which PostgreSQL cannot store",
        "23514": f"Value violates a check of {column.sql_type}",
    }
    return texts.get(sqlstate or "", expected_type(column))


def redact_values(message: str) -> str:
    """A server message about bad input (class 22) without the quoted input."""
    return _QUOTED.sub("…", message).removesuffix(": …")
