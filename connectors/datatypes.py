"""One table of types: the IR DataType, the polars dtype that carries it, the PostgreSQL type that stores it."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
from polars.datatypes import DataTypeClass

from headrace.ir.schema import DataType, Field

MAX_PRECISION = 38
DEFAULT_SCALE = 9
"""A decimal without a declared precision is Decimal(38, 9): 29 digits before the point, 9 after it."""

TEXT_TYPES: frozenset[str] = frozenset({"text", "varchar", "json", "uuid"})
"""Data types that batches carry as pl.String."""


@dataclass(frozen=True, slots=True)
class TypeMapping:
    """`polars` carries the type in a batch; `postgres` names it in DDL; `known_as` are pg_type names read as it."""

    polars: pl.DataType | DataTypeClass
    postgres: str
    known_as: tuple[str, ...]


TYPES: dict[DataType, TypeMapping] = {
    "text": TypeMapping(pl.String, "text", ("text", "bpchar", "name", "citext", "xml")),
    "varchar": TypeMapping(pl.String, "varchar", ("varchar",)),
    "smallint": TypeMapping(pl.Int16, "smallint", ("int2",)),
    "integer": TypeMapping(pl.Int32, "integer", ("int4",)),
    "bigint": TypeMapping(pl.Int64, "bigint", ("int8",)),
    "decimal": TypeMapping(pl.Decimal(MAX_PRECISION, DEFAULT_SCALE), "numeric", ("numeric",)),
    "double": TypeMapping(pl.Float64, "double precision", ("float8", "float4")),
    "boolean": TypeMapping(pl.Boolean, "boolean", ("bool",)),
    "date": TypeMapping(pl.Date, "date", ("date",)),
    "time": TypeMapping(pl.Time, "time", ("time",)),
    "timestamp": TypeMapping(pl.Datetime("us"), "timestamp", ("timestamp",)),
    "timestamptz": TypeMapping(pl.Datetime("us", "UTC"), "timestamptz", ("timestamptz",)),
    "json": TypeMapping(pl.String, "jsonb", ("jsonb", "json")),
    "uuid": TypeMapping(pl.String, "uuid", ("uuid",)),
}

_BY_CATALOG_NAME: dict[str, DataType] = {name: data_type for data_type, row in TYPES.items() for name in row.known_as}


def polars_dtype(field: Field) -> pl.DataType | DataTypeClass:
    """The dtype a batch's column has for this field."""
    if field.data_type == "decimal":
        precision, scale = decimal_size(field)
        return pl.Decimal(precision, scale)
    return TYPES[field.data_type].polars


def decimal_size(field: Field) -> tuple[int, int]:
    """(precision, scale) of a decimal field; a declared precision alone means whole numbers, as in SQL."""
    if field.precision is None:
        return MAX_PRECISION, DEFAULT_SCALE if field.scale is None else field.scale
    return min(field.precision, MAX_PRECISION), field.scale or 0


def sql_type(field: Field) -> str:
    """The PostgreSQL type for a column of this field, as written in DDL; a varchar's precision is its length."""
    base = TYPES[field.data_type].postgres
    if field.data_type == "varchar" and field.precision:
        return f"{base}({field.precision})"
    if field.data_type == "decimal" and field.precision:
        return f"{base}({field.precision},{field.scale or 0})"
    return base


def data_type_of_postgres(name: str) -> DataType:
    """The data type for a pg_type name (`int4`, `numeric`, ...); text if the IR has no such type."""
    return _BY_CATALOG_NAME.get(name, "text")


def field_of_polars(name: str, dtype: pl.DataType) -> Field:
    """The narrowest field that holds every value of a polars column; nested values become json."""
    if isinstance(dtype, pl.Decimal):
        return Field(name, "decimal", dtype.precision or MAX_PRECISION, dtype.scale)
    if isinstance(dtype, pl.Datetime):
        return Field(name, "timestamptz" if dtype.time_zone else "timestamp")
    if isinstance(dtype, pl.List | pl.Array | pl.Struct):
        return Field(name, "json")
    if dtype == pl.UInt64:
        return Field(name, "decimal", 20, 0)
    return Field(name, _NARROWEST.get(type(dtype), "text"))


_NARROWEST: dict[type[pl.DataType], DataType] = {
    pl.Int8: "smallint",
    pl.Int16: "smallint",
    pl.UInt8: "smallint",
    pl.Int32: "integer",
    pl.UInt16: "integer",
    pl.Int64: "bigint",
    pl.UInt32: "bigint",
    pl.Float32: "double",
    pl.Float64: "double",
    pl.Boolean: "boolean",
    pl.Date: "date",
    pl.Time: "time",
}
