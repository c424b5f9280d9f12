"""Snowflake's types: the field that carries each, how it is selected, and how a value of it is written."""

from __future__ import annotations

import re
from dataclasses import dataclass

from headrace.connectors.datatypes import MAX_PRECISION
from headrace.connectors.errors import SourceError
from headrace.connectors.snowflake.names import quoted, text_literal
from headrace.connectors.sql.relation import Column, Scalar
from headrace.ir.schema import DataType, Field

KINDS = (
    *("number", "float", "text", "date", "timestamp", "variant", "timestamp_ltz", "timestamp_tz", "timestamp_ntz"),
    *("object", "array", "binary", "time", "boolean", "geography", "geometry", "vector", "map", "file"),
    *("interval", "interval"),
)
"""Types by the driver's `type_code` (PEP 249)."""

STAMPS = frozenset(("timestamp", "timestamp_ntz", "timestamp_ltz", "timestamp_tz"))
TIMES = STAMPS | {"date"}
NUMBERS = frozenset(("number", "float"))

_FIELDS: dict[str, DataType] = {
    **{"float": "double", "date": "date", "time": "time", "boolean": "boolean"},
    **{"timestamp": "timestamp", "timestamp_ntz": "timestamp"},
    **{"timestamp_ltz": "timestamptz", "timestamp_tz": "timestamptz"},
    **dict.fromkeys(("variant", "object", "array", "vector", "map"), "json"),
}
_AS_TEXT = frozenset(("interval", "decfloat"))
"""Types that are selected as text."""
_MICROS = 6
_MAX_TEXT = 10_485_760
"""PostgreSQL's longest varchar; a VARCHAR without a length is longer."""
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Typed:
    """A type in the driver's description."""

    kind: str
    precision: int | None
    scale: int | None
    length: int | None

    @classmethod
    def of(cls, code: int, precision: int | None, scale: int | None, length: int | None) -> Typed:
        """The type by the driver's code. A number without a precision is a DECFLOAT."""
        kind = KINDS[code] if 0 <= code < len(KINDS) else "text"
        return cls("decfloat" if kind == "number" and not precision else kind, precision, scale, length)

    def column(self, name: str, *, nullable: bool, comment: str = "") -> Column:
        """A column of this type."""
        return Column(self._field(name), self._native, self.kind, self._sure, nullable, comment)

    def _field(self, name: str) -> Field:
        if self.kind == "number":
            precision, scale = min(self.precision or MAX_PRECISION, MAX_PRECISION), self.scale or 0
            if not scale and precision <= 18:
                return Field(name, "smallint" if precision <= 4 else "integer" if precision <= 9 else "bigint")
            return Field(name, "decimal", precision, scale)
        if self.kind == "text" and self.length is not None and 0 < self.length <= _MAX_TEXT:
            return Field(name, "varchar", self.length)
        return Field(name, _FIELDS.get(self.kind, "text"))

    @property
    def _native(self) -> str:
        name = self.kind.upper()
        if self.kind == "number":
            return f"NUMBER({self.precision},{self.scale or 0})"
        if self.kind == "text":
            return "VARCHAR" if self.length is None else f"VARCHAR({self.length})"
        return f"{name}({self.scale})" if self.kind in STAMPS | {"time"} and self.scale is not None else name

    @property
    def _sure(self) -> bool:
        """Whether its field can hold every value: nanoseconds cannot be held."""
        return self.kind not in STAMPS | {"time"} or (self.scale is not None and self.scale <= _MICROS)


def expression(column: Column) -> str:
    """The expression that selects a column; most values arrive in Snowflake's binary format."""
    name = quoted(column.name)
    return f"{name}::VARCHAR" if column.kind in _AS_TEXT else name


def literal(column: Column, value: Scalar) -> str:
    """A value of a column as a SQL literal of the same type. Raises SourceError(`bad_option`)."""
    if value is None:
        return "NULL"
    text = str(value)
    if "\0" in text:
        raise SourceError("bad_option", f"The value for '{column.name}' holds a NUL character.")
    if column.kind in NUMBERS | {"decfloat"}:
        if not _NUMBER.fullmatch(text.strip()):
            raise SourceError("bad_option", f"'{text[:100]}' is not a number, which '{column.name}' is compared with.")
        return f"({text.strip()})" if column.kind != "float" else f"({text.strip()})::FLOAT"
    if column.kind == "boolean":
        return "TRUE" if text.lower() in ("true", "1") else "FALSE"
    if column.kind == "binary":
        return f"TO_BINARY({text_literal(text)}, 'HEX')"
    return f"{text_literal(text)}::{cast_name(column)}"


def cast_name(column: Column) -> str:
    """The type's name in a cast that truncates nothing."""
    if column.kind in STAMPS:
        return {"timestamp": "TIMESTAMP_NTZ"}.get(column.kind, column.kind.upper()) + "(9)"
    if column.kind == "time":
        return "TIME(9)"
    return "VARCHAR" if column.kind == "text" else column.kind.upper()
