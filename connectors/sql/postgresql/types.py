"""PostgreSQL's types: the field that carries each, whether it carries every value, and how it is selected.

Other types are the server's text, which a column of the same type reads back: arrays,
ranges, intervals, bits, addresses, composites.
"""

from __future__ import annotations

from dataclasses import dataclass

from headrace.connectors.datatypes import MAX_PRECISION
from headrace.ir.schema import DataType, Field

_MONEY_DIGITS = 19
_WHOLE: dict[str, DataType] = {"int2": "smallint", "int4": "integer", "int8": "bigint", "oid": "bigint"}
_SURE: dict[str, DataType] = {
    **_WHOLE,
    **{"float4": "double", "float8": "double", "bool": "boolean", "json": "json", "jsonb": "json", "uuid": "uuid"},
}
_UNSURE: dict[str, DataType] = {name: name for name in ("date", "time", "timestamp", "timestamptz")}
INTEGERS = frozenset(("int2", "int4", "int8", "oid"))
NUMBERS = INTEGERS | frozenset(("numeric", "float4", "float8"))
TIMES = frozenset(("date", "timestamp", "timestamptz"))
SPLITTABLE = NUMBERS | TIMES | frozenset(("uuid", "text", "varchar", "bpchar", "name", "bytea"))
"""Types that can be split into ranges."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A type with its modifier. `kind` is the name of a type of pg_catalog, else `"schema"."name"`; for a domain, that
    of its base type."""

    kind: str
    modifier: int
    money_scale: int = 2

    def field(self, name: str) -> Field:
        """The field that carries its values."""
        if self.kind in _SURE:
            return Field(name, _SURE[self.kind])
        if self.kind in _UNSURE:
            return Field(name, _UNSURE[self.kind])
        if self.kind == "numeric":
            return self._decimal(name)
        if self.kind == "money":
            return Field(name, "decimal", _MONEY_DIGITS + max(0, self.money_scale), self.money_scale)
        if self.kind == "varchar" and self.modifier > 4:
            return Field(name, "varchar", self.modifier - 4)
        return Field(name, "text")

    @property
    def sure(self) -> bool:
        """Whether its field carries every value: a numeric may be NaN, a date infinite, a time 24:00."""
        return self.kind not in _UNSURE and (self.kind != "numeric" or self._decimal("").data_type == "text")

    def _decimal(self, name: str) -> Field:
        if self.modifier < 4:
            return Field(name, "decimal")
        precision, scale = self.modifier - 4 >> 16 & 0xFFFF, self.modifier - 4 & 0x7FF
        scale = scale - 0x800 if scale & 0x400 else scale
        digits = precision - scale if scale < 0 else max(precision, scale)
        if digits > MAX_PRECISION:
            return Field(name, "text")  # exact, as a decimal would not be
        return Field(name, "decimal", digits, max(0, scale))


def type_sql(kind: str) -> str:
    """The type's name in a cast, without a modifier: one would round."""
    return kind if "." in kind else f'pg_catalog."{kind}"'


def expression(name: str, kind: str, *, as_declared: bool) -> str:
    """The expression that selects a column (its quoted name), so that its text is exact and quickly parsed."""
    if kind == "bool":
        return f"{name}::text"
    if kind == "float4" and not as_declared:
        return f"{name}::float8"  # the exact number, not the shortest text of a float4
    if kind == "money":
        return f"{name}::numeric"  # without a currency sign
    return name


def quoted(name: str) -> str:
    """A name in quotes."""
    return '"' + name.replace('"', '""') + '"'


def text_literal(text: str) -> str:
    """A text in quotes, whatever the server's standard_conforming_strings are."""
    doubled = text.replace("'", "''")
    return f" E'{doubled}'".replace("\\", "\\\\") if "\\" in doubled else f"'{doubled}'"
