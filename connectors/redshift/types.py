"""Redshift's types: the field that carries each, how it is selected and unloaded, and how a value of it is written.

Two of its rules would change values: `numeric` without a size is numeric(18,0), and `varchar` without a length cuts at
256 bytes. So no cast here is without one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from headrace.connectors.errors import SourceError
from headrace.connectors.sql.relation import Column, Scalar
from headrace.ir.schema import DataType, Field

KINDS = {
    **{16: "bool", 21: "int2", 23: "int4", 20: "int8", 26: "oid", 700: "float4", 701: "float8", 1700: "numeric"},
    **{1042: "bpchar", 1043: "varchar", 25: "text", 19: "name", 18: "char", 705: "unknown"},
    **{1082: "date", 1083: "time", 1266: "timetz", 1114: "timestamp", 1184: "timestamptz"},
    **{1186: "interval", 1188: "interval year to month", 1190: "interval day to second"},
    **{4000: "super", 6551: "varbyte", 3000: "geometry", 3001: "geography", 3999: "geometryhex"},
}
"""Types by the oid in a row's description, as in AWS's driver. Others are read as text."""
OTHER = "other"

WHOLE: dict[str, DataType] = {"int2": "smallint", "int4": "integer", "int8": "bigint", "oid": "bigint"}
NUMBERS = frozenset((*WHOLE, "numeric", "float4", "float8"))
TIMES = frozenset(("date", "timestamp", "timestamptz"))
TEXTS = frozenset(("varchar", "text", "bpchar", "name", "char", "unknown"))
NOT_UNLOADED = frozenset((OTHER, "geometry", "geography", "geometryhex"))
"""Types that Parquet cannot store: HLLSKETCH, and shapes."""
WEIGHT = "weight of "
"""The prefix of the type of a column that the server compares instead of a text."""

_FIELDS: dict[str, DataType] = {
    **WHOLE,
    **{"float4": "double", "float8": "double", "bool": "boolean", "super": "json"},
    **{name: name for name in ("date", "time", "timestamp", "timestamptz")},
}
_UNSURE = TIMES | {"time"}
_NAMES = {"int2": "smallint", "int4": "integer", "int8": "bigint", "float4": "real", "float8": "double precision"}
_NAMES |= {"bool": "boolean", "bpchar": "char"}
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")
_LONGEST = "varchar(65535)"
_SHORT = "varchar(64)"


@dataclass(frozen=True, slots=True)
class Typed:
    """A type by its oid and its modifier, as a row's description has them."""

    oid: int
    modifier: int

    @property
    def kind(self) -> str:
        """The type's name."""
        return KINDS.get(self.oid, OTHER)

    def column(self, name: str, *, nullable: bool = True, comment: str = "") -> Column:
        """A column of this type."""
        field = self._field(name)
        sure = self.kind not in _UNSURE and (self.kind != "numeric" or field.precision is not None)
        return Column(field, self._native, self.kind, sure, nullable, comment)

    @property
    def _size(self) -> tuple[int, int]:
        return self.modifier - 4 >> 16 & 0xFFFF, self.modifier - 4 & 0xFFFF

    @property
    def _native(self) -> str:
        name = _NAMES.get(self.kind, self.kind)
        if self.modifier < 4 or self.kind not in ("numeric", "varchar", "bpchar", "varbyte"):
            return name if self.kind != OTHER else f"type {self.oid}"
        return f"{name}({','.join(map(str, self._size))})" if self.kind == "numeric" else f"{name}({self.modifier - 4})"

    def _field(self, name: str) -> Field:
        if self.kind == "numeric":
            return Field(name, "decimal", *(self._size if self.modifier >= 4 else ()))
        if self.kind == "varchar" and self.modifier > 4:
            # its length in bytes is an upper bound of its characters
            return Field(name, "varchar", self.modifier - 4)
        return Field(name, _FIELDS.get(self.kind, "text"))


def selected(name: str, kind: str, *, as_declared: bool) -> str:
    """The expression that selects a column (its quoted name), so that its text is exact."""
    if kind.startswith(WEIGHT):
        return _weight(name)
    if kind == "float4" and not as_declared:
        return f"{name}::float8"  # the exact number: a float4 is written with 8 digits, which are not enough
    if kind == "bpchar":
        return f"{name}::{_LONGEST}"  # without padding, as in Parquet
    return f"JSON_SERIALIZE({name})" if kind == "super" else name


def unloaded(name: str, kind: str, *, as_declared: bool) -> str:
    """The expression that unloads a column: numbers as Parquet types, the rest as the selected text."""
    if as_declared and kind == "bool":
        return f"CASE WHEN {name} THEN 't' WHEN NOT {name} THEN 'f' END"
    if as_declared and kind in NUMBERS:
        return f"{name}::{_SHORT}"
    if kind == "varbyte":
        return f"TO_HEX({name})"
    if kind in TIMES | {"time", "timetz"} or kind.startswith("interval"):
        return f"{name}::{_SHORT}"
    return selected(name, kind, as_declared=as_declared)


def _weight(name: str) -> str:
    """A value that is equal where the server treats texts as equal: without trailing blanks, and in lower case under a
    case-insensitive collation."""
    return f"CASE WHEN UPPER({name}) = LOWER({name}) THEN LOWER(RTRIM({name})) ELSE RTRIM({name}) END"


def literal(column: Column, value: Scalar) -> str:
    """A value of a column as a SQL literal. Raises SourceError(`bad_option`)."""
    if value is None:
        return "NULL"
    text, kind = str(value), column.kind
    if kind in NUMBERS:
        if not _NUMBER.fullmatch(text.strip()):
            raise SourceError("bad_option", f"'{text[:100]}' is not a number, which '{column.name}' is compared with.")
        return f"({text.strip()})" if not kind.startswith("float") else f"{text_literal(text.strip())}::float8"
    if kind == "bool":
        return "TRUE" if text.lower() in ("true", "t", "1") else "FALSE"
    if kind in TIMES | {"time", "timetz"}:
        return f"{text_literal(text)}::{kind}"
    if kind in TEXTS:
        return text_literal(text)
    raise SourceError(
        "bad_option", f"'{column.name}' is {column.native}, by which rows cannot be read on.", "Name another column."
    )


def text_literal(text: str) -> str:
    """A text in quotes. A backslash escapes in Redshift's literals. Raises SourceError(`bad_option`)."""
    if "\0" in text:
        raise SourceError("bad_option", "A value holds a NUL character, which Redshift cannot store.")
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A name in quotes."""
    return '"' + name.replace('"', '""') + '"'
