"""Databricks' types: the field that carries each, how it is selected, and how a value of it is written."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

from headrace.connectors.databricks.names import quoted, text_literal
from headrace.connectors.datatypes import MAX_PRECISION
from headrace.connectors.errors import SourceError
from headrace.connectors.sql.relation import Column, Scalar
from headrace.ir.schema import DataType, Field

INTEGERS = frozenset(("tinyint", "smallint", "int", "bigint"))
NUMBERS = INTEGERS | {"float", "double", "decimal"}
TIMES = frozenset(("date", "timestamp", "timestamp_ntz"))
TEXTS = frozenset(("string", "varchar", "char"))
ORDERED = NUMBERS | TIMES | TEXTS
"""Types of columns that can be positions."""
NESTED = frozenset(("array", "map", "struct"))

_FIELDS: dict[str, DataType] = {
    **{"tinyint": "smallint", "smallint": "smallint", "int": "integer", "bigint": "bigint"},
    **{"float": "double", "double": "double", "boolean": "boolean", "date": "date"},
    **{"timestamp": "timestamptz", "timestamp_ntz": "timestamp"},
    **dict.fromkeys((*NESTED, "variant"), "json"),
}
_OWN_FORM = NUMBERS | TIMES | TEXTS | {"boolean", "binary", "void"}
_SYNONYMS = {"integer": "int", "long": "bigint", "short": "smallint", "byte": "tinyint", "dec": "decimal"}
_WORD = re.compile(r"[a-z_]+")
_SIZES = re.compile(r"[a-z_]+\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")
_COLLATED = re.compile(r"\bcollate\s+(?!utf8_binary\b)\S+")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")
_MAX_TEXT = 10_485_760


def column(name: str, native: str, *, comment: str = "") -> Column:
    """A column by its type in `DESCRIBE QUERY`. Primary keys and NOT NULL are ignored."""
    text = native.strip().lower()
    word = _WORD.match(text)
    kind = _SYNONYMS.get(word[0], word[0]) if word else text
    if kind in TEXTS and _COLLATED.search(text):
        kind = "collated"
    sure = kind not in TIMES and (kind in _OWN_FORM | NESTED | {"variant", "collated"} or kind == "interval")
    return Column(_field(name, kind, text), native, kind, sure, True, comment)


def _field(name: str, kind: str, text: str) -> Field:
    sizes = _SIZES.match(text)
    if kind == "decimal":
        precision, scale = (int(sizes[1]), int(sizes[2] or 0)) if sizes else (10, 0)
        return Field(name, "decimal", min(precision, MAX_PRECISION), scale)
    if kind == "varchar" and sizes and int(sizes[1]) <= _MAX_TEXT:
        return Field(name, "varchar", int(sizes[1]))
    return Field(name, _FIELDS.get(kind, "text"))


def expression(column: Column) -> str:
    """The expression that selects a column: nested values as JSON, types without an Arrow equivalent as text."""
    name = quoted(column.name)
    if column.kind in NESTED:
        return f"to_json({name}, map('ignoreNullFields', 'false'))"
    if column.kind == "variant":
        return f"to_json({name})"
    return name if column.kind in _OWN_FORM | {"collated"} else f"CAST({name} AS STRING)"


def literal(column: Column, value: Scalar) -> str:
    """A value of a column as a SQL literal of the same type. Raises SourceError(`bad_option`)."""
    if value is None:
        return "NULL"
    text = str(value)
    if "\0" in text:
        raise SourceError("bad_option", f"The value for '{column.name}' holds a NUL character.")
    if column.kind in NUMBERS:
        number = text.strip()
        if column.kind in ("float", "double") and number.lower() in ("nan", "inf", "-inf", "infinity", "-infinity"):
            return f"CAST({text_literal(number)} AS {column.native})"
        if not _NUMBER.fullmatch(number):
            raise SourceError("bad_option", f"'{text[:100]}' is not a number, which '{column.name}' is compared with.")
        return f"CAST({text_literal(number)} AS {column.native})"
    if column.kind == "boolean":
        return "TRUE" if text.lower() in ("true", "1") else "FALSE"
    if column.kind in TIMES:
        return f"{column.kind.upper()} {text_literal(_moment(column, text))}"
    if column.kind in TEXTS | {"collated"}:
        return text_literal(text)
    raise unordered(column)


def unordered(column: Column) -> SourceError:
    """The error for a column that cannot be a position."""
    return SourceError(
        "bad_option",
        f"'{column.name}' is {column.native}, which rows cannot be read on by.",
        "Name columns of numbers, times or texts without a collation.",
    )


def _moment(column: Column, text: str) -> str:
    """A timestamp with its offset, which is UTC where none is written."""
    try:
        if column.kind == "date":
            return date.fromisoformat(text[:10]).isoformat()
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SourceError("bad_option", f"'{text[:100]}' is not of the type {column.native} ({column.name}).") from None
    if column.kind == "timestamp":
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat(" ")
    return moment.replace(tzinfo=None).isoformat(" ")
