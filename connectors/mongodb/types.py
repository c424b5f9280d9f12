"""Chooses the field of a key from all types of its values."""

from __future__ import annotations

from collections.abc import Collection

from headrace.ir.schema import DataType, Field

MISSING = frozenset(("null", "undefined", "missing"))
NUMBERS = frozenset(("int", "long", "double", "decimal"))
_ALONE: dict[str, DataType] = {
    **{"int": "integer", "long": "bigint", "double": "double", "decimal": "decimal", "bool": "boolean"},
    **{"string": "text", "symbol": "text", "objectId": "text", "binData": "text", "date": "timestamptz"},
}
"""The field type of each BSON type; all others are json."""


def field_for(name: str, types: Collection[str]) -> Field:
    """The narrowest field for values of these types (names of the server's `$type`). Numbers of several types are one
    that holds them all, or adds a note; texts with other single values are text; with documents or lists it is json."""
    there = frozenset(types) - MISSING
    if not there:
        return Field(name, "text")
    if len(there) == 1:
        return Field(name, _ALONE.get(next(iter(there)), "json"))
    if there <= NUMBERS:
        if "decimal" in there:
            return Field(name, "decimal")
        return Field(name, "double" if "double" in there else "bigint")
    return Field(name, "text" if there <= _ALONE.keys() else "json")


def note_for(name: str, types: Collection[str], field: Field) -> str | None:
    """A note where values of different types get one type."""
    there = sorted(frozenset(types) - MISSING)
    if len(there) < 2 or frozenset(there) <= NUMBERS:
        return None
    return f"'{name}' has values of the types {', '.join(there)}: read as {field.data_type}"
