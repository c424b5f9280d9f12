"""Lists, structs and other values as JSON text."""

from __future__ import annotations

import polars as pl
from polars import DataType
from polars.datatypes import DataTypeClass

_BOX = '{"value":'


def to_json(values: pl.Series) -> tuple[pl.Series, pl.Series | None]:
    """(each value as JSON, a mask of the values that JSON cannot hold or None).

    Bytes become PostgreSQL's hex format. NaN and infinity are no JSON numbers: a value with one is in the mask, and is
    null in the result."""
    frame, dtype = values.to_frame("value"), values.dtype
    if _has(dtype, pl.Binary):
        frame = frame.select(_with_hexadecimal(pl.col("value"), dtype).alias("value"))
    boxed = frame.select(pl.struct("value").struct.json_encode()).to_series()
    text = boxed.str.slice(len(_BOX)).str.head(-1).set(values.is_null(), None)
    if always_json(dtype):
        return text, None
    beyond = values.to_frame("value").select(_has_no_number(pl.col("value"), dtype).fill_null(value=False)).to_series()
    return (text.set(beyond, None), beyond) if beyond.any() else (text, None)


def always_json(dtype: pl.DataType) -> bool:
    """Whether JSON can hold every value of the type."""
    return not _has(dtype, pl.Float32, pl.Float64)


def _has(dtype: pl.DataType, *leaves: type[pl.DataType]) -> bool:
    if isinstance(dtype, pl.List | pl.Array):
        return _has(_inner(dtype), *leaves)
    if isinstance(dtype, pl.Struct):
        return any(_has(field, *leaves) for field in _fields(dtype).values())
    return dtype in leaves


def _inner(dtype: pl.List | pl.Array) -> pl.DataType:
    return _instance(dtype.inner)


def _fields(dtype: pl.Struct) -> dict[str, pl.DataType]:
    return {name: _instance(field) for name, field in dtype.to_schema().items()}


def _instance(dtype: DataType | DataTypeClass) -> pl.DataType:
    return dtype if isinstance(dtype, pl.DataType) else dtype()


def _with_hexadecimal(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The value with text in the place of bytes."""
    if not _has(dtype, pl.Binary):
        return value
    if isinstance(dtype, pl.Array):
        return _with_hexadecimal(value.arr.to_list(), pl.List(_inner(dtype)))
    if isinstance(dtype, pl.List):
        return value.list.eval(_with_hexadecimal(pl.element(), _inner(dtype)))
    if isinstance(dtype, pl.Struct):
        fields = _fields(dtype).items()
        made = pl.struct(_with_hexadecimal(value.struct.field(name), field).alias(name) for name, field in fields)
        return pl.when(value.is_not_null()).then(made)
    return pl.format("\\x{}", value.bin.encode("hex"))


def _has_no_number(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Whether NaN or infinity is anywhere in the value; null counts as no."""
    if isinstance(dtype, pl.Array):
        return _has_no_number(value.arr.to_list(), pl.List(_inner(dtype)))
    if isinstance(dtype, pl.List):
        return value.list.eval(_has_no_number(pl.element(), _inner(dtype))).list.any().fill_null(value=False)
    if isinstance(dtype, pl.Struct):
        fields = [(name, field) for name, field in _fields(dtype).items() if _has(field, pl.Float32, pl.Float64)]
        found = [_has_no_number(value.struct.field(name), field) for name, field in fields]
        return pl.any_horizontal(found).fill_null(value=False) if found else pl.lit(value=False)
    return (~value.is_finite()).fill_null(value=False) if dtype.is_float() else pl.lit(value=False)
