"""The fields of an Avro schema as columns, and how their values are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from headrace.connectors.datatypes import MAX_PRECISION
from headrace.connectors.errors import SourceError
from headrace.ir.schema import DataType, Field

_PLAIN: Mapping[str, DataType] = {
    "boolean": "boolean",
    "int": "integer",
    "long": "bigint",
    "float": "double",
    "double": "double",
    "string": "text",
    "bytes": "text",
}
_LOGICAL: Mapping[str, tuple[DataType, pl.DataType | type[pl.DataType], int]] = {
    "date": ("date", pl.Date, 1),
    "time-millis": ("time", pl.Time, 1_000_000),
    "time-micros": ("time", pl.Time, 1_000),
    "timestamp-millis": ("timestamptz", pl.Datetime("ms", "UTC"), 1),
    "timestamp-micros": ("timestamptz", pl.Datetime("us", "UTC"), 1),
    "timestamp-nanos": ("timestamptz", pl.Datetime("ns", "UTC"), 1),
    "local-timestamp-millis": ("timestamp", pl.Datetime("ms"), 1),
    "local-timestamp-micros": ("timestamp", pl.Datetime("us"), 1),
    "local-timestamp-nanos": ("timestamp", pl.Datetime("ns"), 1),
}
"""By logical type: the data type, the polars dtype, and the factor from the stored number to polars' unit."""

_NUMBERS = ("int", "long")


@dataclass(frozen=True, slots=True)
class Column:
    """`bare` is the field's Avro type without its logical type. `simple`: polars decodes it correctly."""

    field: Field
    bare: Any
    simple: bool
    logical: str | None = None

    def typed(self, values: pl.Series) -> pl.Series:
        """The stored numbers as values of the logical type."""
        if self.logical is None:
            return values
        _, dtype, factor = _LOGICAL[self.logical]
        return (values.cast(pl.Int64) * factor).cast(pl.Int32 if dtype == pl.Date else pl.Int64).cast(dtype)


def columns_of(schema: Any) -> list[Column]:
    """The columns of an Avro schema. Raises SourceError(`bad_avro`, `unsupported_type`)."""
    if not isinstance(schema, Mapping) or schema.get("type") != "record" or not schema.get("fields"):
        raise SourceError("unsupported_type", "Its rows are not records with fields.", "Write records.")
    try:
        if any(_endless(part) for part in _parts(schema["fields"])):
            raise SourceError("unsupported_type", "Its schema has lists of nothing.")
        columns = [_column(str(field["name"]), field["type"]) for field in schema["fields"]]
    except (KeyError, TypeError, RecursionError):
        raise SourceError("bad_avro", "The schema in its header is not valid.") from None
    return columns


def _parts(schema: Any) -> Iterator[Any]:
    yield schema
    if isinstance(schema, Mapping):
        for inner in schema.values():
            yield from _parts(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _parts(inner)


def _endless(part: Any) -> bool:
    """Whether it is a list of elements without size: a few bytes could claim any number of them."""
    if not isinstance(part, Mapping) or part.get("type") not in ("array", "map"):
        return False
    inner = part.get("items", part.get("values"))
    return inner == "null" or (
        isinstance(inner, Mapping) and (inner.get("type") == "null" or inner.get("fields") == [])
    )


def _column(name: str, kind: Any) -> Column:
    inner, nullable = kind, False
    if isinstance(kind, list):
        others = [each for each in kind if each != "null"]
        if len(others) != 1 or len(kind) > 2:
            scalars = all((each.get("type") if isinstance(each, Mapping) else each) in _PLAIN for each in others)
            return Column(Field(name, "text" if scalars else "json"), kind, simple=False)
        inner, nullable = others[0], len(kind) == 2
    logical = None
    if isinstance(inner, Mapping) and inner.get("type") in _PLAIN:
        found = str(inner.get("logicalType"))
        if found == "decimal" and inner["type"] == "bytes":
            return _decimal(name, kind, inner)
        if found in _LOGICAL and inner["type"] in _NUMBERS:
            logical = found
        elif found == "uuid" and inner["type"] == "string":
            return Column(Field(name, "uuid"), _again("string", kind, nullable=nullable), simple=True)
        inner = inner["type"]
    if isinstance(inner, Mapping):
        form = inner.get("type")
        if form == "fixed" and inner.get("logicalType") == "decimal":
            return _decimal(name, kind, inner)
        if form == "enum":
            return Column(Field(name, "text"), kind, simple=False)
        return Column(Field(name, "text" if form == "fixed" else "json"), kind, simple=False)
    if inner not in _PLAIN:  # null, or the name of a type defined earlier
        return Column(Field(name, "text" if inner == "null" else "json"), kind, simple=False)
    data_type = _PLAIN[inner] if logical is None else _LOGICAL[logical][0]
    return Column(Field(name, data_type), _again(inner, kind, nullable=nullable), simple=True, logical=logical)


def _again(inner: str, kind: Any, *, nullable: bool) -> Any:
    """The bare type, in a union with null as in the schema."""
    if not nullable:
        return inner
    return ["null", inner] if kind[0] == "null" else [inner, "null"]


def _decimal(name: str, kind: Any, inner: Mapping[str, Any]) -> Column:
    precision, scale = int(inner["precision"]), int(inner.get("scale", 0))
    if precision > MAX_PRECISION:
        return Column(Field(name, "text"), kind, simple=False)
    return Column(Field(name, "decimal", precision, scale), kind, simple=False)
