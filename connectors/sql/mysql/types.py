"""MySQL's types: the field that carries each, whether it carries every value, and how values are written in SQL.

Other types arrive as the server's text (sets, enums, addresses), or as bytes (bits,
blobs, and geometries in the server's own format: the SRID, and WKB).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from headrace.connectors.datatypes import MAX_PRECISION
from headrace.connectors.errors import SourceError
from headrace.connectors.sql.relation import Column, Scalar
from headrace.ir.schema import DataType, Field

_WHOLE: Mapping[str, DataType] = {
    **{"tinyint": "smallint", "tinyint unsigned": "smallint", "smallint": "smallint", "smallint unsigned": "integer"},
    **{"mediumint": "integer", "mediumint unsigned": "integer", "int": "integer", "int unsigned": "bigint"},
    **{"bigint": "bigint", "year": "smallint"},
}
_SAME: Mapping[str, DataType] = {
    **{"date": "date", "time": "time", "datetime": "timestamp", "timestamp": "timestamptz"},
    **{"float": "double", "double": "double", "json": "json", "uuid": "uuid"},
}
INTEGERS = frozenset((*_WHOLE, "bigint unsigned"))
FLOATS = frozenset(("float", "double"))
NUMBERS = INTEGERS | FLOATS | {"decimal"}
MOMENTS = frozenset(("datetime", "timestamp"))
TIMES = MOMENTS | {"date"}
UNSURE = TIMES | {"time"}
"""A date may be 0000-00-00, and a time longer than a day."""
NAMED = frozenset(("enum", "set"))
SPLITTABLE = NUMBERS | TIMES | frozenset(("text", "bytes"))
"""Types that can be split into ranges."""

WEIGHT, WEIGHT_NO_PAD = "weight", "weight, not padded"
"""Types of values that a server compares instead of a text; the column is `native`."""

_MEMBER = re.compile(r"'((?:[^']|'')*)'")
_UNSIGNED = 20
"""Digits of an unsigned bigint."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A type with its size: digits and decimals of a decimal, characters of a text."""

    kind: str
    digits: int | None = None
    decimals: int | None = None
    characters: int | None = None

    def field(self, name: str) -> Field:
        """The field that carries its values."""
        if (same := _WHOLE.get(self.kind) or _SAME.get(self.kind)) is not None:
            return Field(name, same)
        if self.kind == "bigint unsigned":
            return Field(name, "decimal", _UNSIGNED, 0)
        if self.kind == "decimal" and self.digits is not None and self.digits <= MAX_PRECISION:
            return Field(name, "decimal", self.digits, self.decimals or 0)
        if self.kind == "text" and self.characters is not None:
            return Field(name, "varchar", self.characters)
        return Field(name, "text")  # a decimal of more digits too: exact, as a decimal would not be

    def column(self, name: str, native: str, *, nullable: bool = True, comment: str = "") -> Column:
        """A column of this type."""
        return Column(self.field(name), native, self.kind, self.kind not in UNSURE, nullable, comment)


def quoted(name: str) -> str:
    """A name in backquotes."""
    return "`" + name.replace("`", "``") + "`"


def text_literal(text: str) -> str:
    """A text in quotes, for sessions in which a backslash escapes."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''").replace("\0", "\\0") + "'"


def expression(column: Column, *, as_declared: bool) -> str:
    """The expression that selects a column without loss."""
    if column.kind == WEIGHT:
        return f"WEIGHT_STRING(RTRIM({quoted(column.native)}))"
    if column.kind == WEIGHT_NO_PAD:
        return f"WEIGHT_STRING({quoted(column.native)})"
    name = quoted(column.name)
    if column.kind in FLOATS:
        return f"({name} * 1e0)"  # the very number: a float is written with six digits, a double(8,2) with two decimals
    if column.kind == "bit" and as_declared:
        return f"({name} + 0)"
    if column.native == "vector":
        return f"CAST({name} AS BINARY)"
    return name


def literal(column: Column, value: Scalar) -> str:
    """A value of a column as a literal that is compared like the column. Raises SourceError(`bad_option`) for an
    invalid value."""
    if value is None:
        return "NULL"
    try:
        return _literal(column, str(value))
    except (ValueError, InvalidOperation):
        raise SourceError(
            "bad_option", f"'{value}' is not a value of {column.name}, which is {column.native}.", "Check the settings."
        ) from None


def _literal(column: Column, text: str) -> str:
    match column.kind:
        case kind if kind in INTEGERS or kind == "decimal":
            number = Decimal(text)
            if not number.is_finite():
                raise ValueError(text)
            return f"{number:f}"
        case kind if kind in FLOATS:
            number_text = repr(float(text))
            if "n" in number_text:  # nan, inf
                raise ValueError(text)
            return number_text if "e" in number_text else f"{number_text}e0"
        case "bit":
            return str(int(text, 16))
        case "bytes":
            return f"X'{bytes.fromhex(text).hex()}'"
        case kind if kind in MOMENTS:
            return text_literal(_moment(text))
        case kind if kind in NAMED:
            return str(_number_of(column, text))
    return text_literal(text)


def _moment(text: str) -> str:
    """Without a zone, which older servers do not read: in UTC, as the session is."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text  # 0000-00-00 00:00:00
    return (moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo is not None else moment).isoformat(" ")


def _number_of(column: Column, text: str) -> int:
    """The number by which the server orders a value of an enum or a set."""
    members = [each.replace("''", "'") for each in _MEMBER.findall(column.native)]
    if not members:
        raise SourceError(
            "bad_option",
            f"{column.name} is an {column.kind} in a query, which cannot be read on from.",
            f"Select CAST({column.name} AS CHAR) as the key.",
        )
    if column.kind == "enum":
        return members.index(text) + 1 if text else 0
    return sum(1 << members.index(each) for each in text.split(",") if each)
