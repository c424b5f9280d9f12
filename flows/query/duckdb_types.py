"""DuckDB types of polars types and back, without changing a value."""

from __future__ import annotations

import re

import polars as pl

from headrace.flows.query.cell_pairs import value_type
from headrace.ir.sql.errors import PAIR

_PLAIN: dict[type[pl.DataType], str] = {
    pl.String: "VARCHAR",
    pl.Categorical: "VARCHAR",
    pl.Enum: "VARCHAR",
    pl.Boolean: "BOOLEAN",
    pl.Int8: "TINYINT",
    pl.Int16: "SMALLINT",
    pl.Int32: "INTEGER",
    pl.Int64: "BIGINT",
    pl.Int128: "HUGEINT",
    pl.UInt8: "UTINYINT",
    pl.UInt16: "USMALLINT",
    pl.UInt32: "UINTEGER",
    pl.UInt64: "UBIGINT",
    pl.Float32: "FLOAT",
    pl.Float64: "DOUBLE",
    pl.Date: "DATE",
    pl.Time: "TIME",
    pl.Binary: "BLOB",
    pl.Null: "INTEGER",
}

_BACK: dict[str, pl.DataType] = {
    "VARCHAR": pl.String(),
    "BOOLEAN": pl.Boolean(),
    "TINYINT": pl.Int8(),
    "SMALLINT": pl.Int16(),
    "INTEGER": pl.Int32(),
    "BIGINT": pl.Int64(),
    "UTINYINT": pl.UInt8(),
    "USMALLINT": pl.UInt16(),
    "UINTEGER": pl.UInt32(),
    "UBIGINT": pl.UInt64(),
    "FLOAT": pl.Float32(),
    "DOUBLE": pl.Float64(),
    "DATE": pl.Date(),
    "TIME": pl.Time(),
    "TIMESTAMP": pl.Datetime("us"),
    "TIMESTAMP WITH TIME ZONE": pl.Datetime("us", "UTC"),
    "TIMESTAMP_NS": pl.Datetime("ns"),
    "BLOB": pl.Binary(),
}

_CAST: dict[str, str] = {
    # the cast refuses 39 digits, for which arrow would have another number
    "HUGEINT": "DECIMAL(38,0)",
    "UHUGEINT": "DECIMAL(38,0)",
    "UUID": "VARCHAR",
    "JSON": "VARCHAR",
    '"NULL"': "INTEGER",
    "TIMESTAMP_S": "TIMESTAMP",
    "TIMESTAMP_MS": "TIMESTAMP",
}
"""Result types that are cast to another one; the cast keeps every value, or fails."""

_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")


def engine_type(dtype: pl.DataType) -> str | None:
    """The DuckDB type of a polars type; None for types that a query cannot read."""
    if isinstance(dtype, pl.Decimal):
        return f"DECIMAL({dtype.precision},{dtype.scale})"
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone is not None:
            return None if dtype.time_unit == "ns" else "TIMESTAMPTZ"
        return "TIMESTAMP_NS" if dtype.time_unit == "ns" else "TIMESTAMP"
    if (value := value_type(dtype)) is not None:
        inner = engine_type(value)
        return None if inner is None else f'STRUCT("{PAIR[0]}" {inner}, "{PAIR[1]}" VARCHAR)'
    if isinstance(dtype, pl.List):
        inner = engine_type(pl.List(dtype.inner).inner)  # type: ignore[arg-type]
        return None if inner is None else f"{inner}[]"
    return _PLAIN.get(type(dtype))


def column_type(described: str) -> tuple[pl.DataType, str] | None:
    """The polars type for a DuckDB result type, and the DuckDB type to cast it to before; None where there is none."""
    cast = "VARCHAR" if described.startswith("ENUM(") else _CAST.get(described, described)
    if (decimal := _DECIMAL.fullmatch(cast)) is not None:
        return pl.Decimal(int(decimal[1]), int(decimal[2])), cast
    if cast.endswith("[]"):
        inner = column_type(cast.removesuffix("[]"))
        return None if inner is None else (pl.List(inner[0]), f"{inner[1]}[]")
    dtype = _BACK.get(cast)
    return None if dtype is None else (dtype, cast)
