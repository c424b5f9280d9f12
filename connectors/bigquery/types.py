"""BigQuery's types: the field that carries each, and how a value of it is written in SQL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from headrace.connectors.bigquery.names import text_literal
from headrace.connectors.datatypes import MAX_PRECISION
from headrace.connectors.errors import SourceError
from headrace.connectors.sql.relation import Column, Scalar
from headrace.ir.schema import DataType, Field

Described = Mapping[str, Any]
"""A column as the REST API describes it (TableFieldSchema): name, type, mode, fields, precision, …"""

_STANDARD = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "RECORD": "STRUCT", "DECIMAL": "NUMERIC"}
"""Standard names of types, by the REST API's older names."""
_FIELDS: dict[str, DataType] = {
    **{"INT64": "bigint", "FLOAT64": "double", "BOOL": "boolean", "DATE": "date", "TIME": "time"},
    **{"DATETIME": "timestamp", "TIMESTAMP": "timestamptz", "TIMESTAMP_PICOS": "timestamptz"},
    **{"JSON": "json", "STRUCT": "json", "ARRAY": "json"},
}
_NUMERIC_SCALE = 9
_MAX_TEXT = 10_485_760
_PICOS = 12

NUMBERS = frozenset(("INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC"))
TIMES = frozenset(("DATE", "DATETIME", "TIMESTAMP"))
ORDERED = NUMBERS | TIMES | {"STRING"}
"""Types of columns that can be positions."""
_KNOWN = frozenset(_FIELDS) | NUMBERS | {"STRING", "STRING_COLLATED", "BYTES", "GEOGRAPHY", "INTERVAL", "RANGE"}
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")
_FLOATS = {"nan": "NaN", "inf": "inf", "infinity": "inf", "-inf": "-inf", "-infinity": "-inf"}


def kind_of(described: Described) -> str:
    """The type's standard name, `ARRAY` where the column is repeated."""
    if described.get("mode") == "REPEATED":
        return "ARRAY"
    name = str(described.get("type", "")).upper()
    kind = {"BIGDECIMAL": "BIGNUMERIC"}.get(name, _STANDARD.get(name, name))
    if kind == "STRING" and described.get("collation"):
        return "STRING_COLLATED"
    if kind == "TIMESTAMP" and _size(described, "timestampPrecision") == _PICOS:
        return "TIMESTAMP_PICOS"
    return kind


def column(described: Described) -> Column:
    """A column of a table or of a result."""
    kind = kind_of(described)
    sure = kind in _KNOWN and kind != "TIMESTAMP_PICOS"
    nullable = described.get("mode") not in ("REQUIRED", "REPEATED")
    return Column(_field(described, kind), native(described), kind, sure, nullable, described.get("description") or "")


def native(described: Described) -> str:
    """The type in BigQuery's notation."""
    kind = kind_of(described)
    if kind == "ARRAY":
        return f"ARRAY<{native({**described, 'mode': 'NULLABLE'})}>"
    if kind == "STRUCT":
        inside = [f"{each['name']} {native(each)}" for each in described.get("fields", ())]
        return f"STRUCT<{', '.join(inside)}>"
    if kind == "RANGE":
        return f"RANGE<{native(described.get('rangeElementType') or {})}>"
    if kind == "TIMESTAMP_PICOS":
        return f"TIMESTAMP({_PICOS})"
    sizes = [described[name] for name in ("precision", "scale", "maxLength") if described.get(name) is not None]
    kind = kind.removesuffix("_COLLATED")
    return f"{kind}({', '.join(map(str, sizes))})" if sizes else kind


def _field(described: Described, kind: str) -> Field:
    name = str(described["name"])
    if kind in ("NUMERIC", "BIGNUMERIC"):
        precision, scale = _size(described, "precision"), _size(described, "scale")
        if kind == "NUMERIC" and precision is None:
            return Field(name, "decimal", MAX_PRECISION, _NUMERIC_SCALE)
        if precision is None or precision > MAX_PRECISION:
            return Field(name, "text")  # up to 77 digits
        return Field(name, "decimal", precision, scale or 0)
    length = _size(described, "maxLength")
    if kind in ("STRING", "STRING_COLLATED") and length is not None and 0 < length <= _MAX_TEXT:
        return Field(name, "varchar", length)
    return Field(name, _FIELDS.get(kind, "text"))


def _size(described: Described, name: str) -> int | None:
    given = described.get(name)
    return int(given) if given is not None else None


def literal(column: Column, value: Scalar) -> str:
    """A value of a column as a SQL literal of the same type. Raises SourceError(`bad_option`)."""
    if value is None:
        return "NULL"
    text = str(value)
    if "\0" in text:
        raise SourceError("bad_option", f"The value for '{column.name}' holds a NUL character.")
    if column.kind == "FLOAT64" and text.lower() in _FLOATS:
        return f"CAST('{_FLOATS[text.lower()]}' AS FLOAT64)"
    if column.kind in NUMBERS:
        number = text.strip()
        if not _NUMBER.fullmatch(number):
            raise SourceError("bad_option", f"'{text[:100]}' is not a number, which '{column.name}' is compared with.")
        if column.kind == "INT64":
            return f"({number})" if number.lstrip("+-").isdigit() else f"BIGNUMERIC '{number}'"
        return f"CAST('{number}' AS FLOAT64)" if column.kind == "FLOAT64" else f"{column.kind} '{number}'"
    if column.kind == "BOOL":
        return "TRUE" if text.lower() in ("true", "1") else "FALSE"
    if column.kind in TIMES | {"TIME"}:
        return f"{column.kind} {text_literal(text)}"
    if column.kind in ("STRING", "STRING_COLLATED"):
        return text_literal(text)
    raise unordered(column)


def unordered(column: Column) -> SourceError:
    """The error for a column that cannot be a position."""
    return SourceError(
        "bad_option",
        f"'{column.name}' is {column.native}, which rows cannot be read on by.",
        "Name columns of numbers, times or texts without a collation in cursor.column and cursor.key.",
    )
