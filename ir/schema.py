"""The data types of the IR, and the typed columns that pass from node to node."""

from __future__ import annotations

from dataclasses import dataclass
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
"""The error message for a value that is not of the type (the reference pages say *Expected integer*)."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column. `precision` and `scale` are for decimals, `format` (strptime-like) for dates that are text."""

    name: str
    data_type: DataType
    precision: int | None = None
    scale: int | None = None
    format: str | None = None


Schema = tuple[Field, ...]
