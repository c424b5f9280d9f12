"""The data types of the IR: what a field can be, from a source's declaration to a target's column."""

from __future__ import annotations

from typing import Literal, get_args

DataType = Literal[
    "text",
    "varchar",
    "smallint",
    "integer",
    "bigint",
    "decimal",
    "double",
    "boolean",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "json",
    "uuid",
]

DATA_TYPES: tuple[str, ...] = get_args(DataType)

EXPECTED: dict[str, str] = {
    "text": "Expected text",
    "varchar": "Expected text",
    "smallint": "Expected integer between -32768 and 32767",
    "integer": "Expected integer",
    "bigint": "Expected integer",
    "decimal": "Expected decimal number",
    "double": "Expected number",
    "boolean": "Expected boolean",
    "date": "Expected date",
    "time": "Expected time",
    "timestamp": "Expected timestamp",
    "timestamptz": "Expected timestamp with time zone",
    "json": "Expected JSON",
    "uuid": "Expected UUID",
}
"""What a person reads when a value is not of the type (the reference pages say *Expected integer*)."""
