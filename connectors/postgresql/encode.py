"""A polars frame as PostgreSQL's binary COPY format, and the cells that have no place in it.

Types without an encoder of their own use one whose bytes are the same: a uuid is 16 bytes as in bytea, an enum, json
or varchar is text, jsonb is text behind a version byte.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pgpq
import pgpq.encoders as wire
import polars as pl
import pyarrow as pa
from pgpq.schema import Jsonb
from polars.datatypes import DataTypeClass

from connectors.base import TargetError
from connectors.postgresql.tables import Column

_SPARE_SCALE = 18
"""Digits behind the point that a float keeps in a numeric column without a declared scale."""

_DASHES = [8, 13, 18, 23]
_DIGITS = [place for place in range(36) if place not in _DASHES]
_HEX = np.full(256, 255, dtype=np.uint8)
for _value, _pair in enumerate(zip(b"0123456789abcdef", b"0123456789ABCDEF", strict=True)):
    _HEX[list(_pair)] = _value

_ENDLESS = pl.Decimal(38, 0)
Dtype = pl.DataType | DataTypeClass


@dataclass(frozen=True, slots=True)
class Encoding:
    """How one column goes on the wire: `convert` gives what the encoder takes, null where a value does not fit."""

    arrow: pa.DataType
    encoder: Callable[[pa.Field], Any]
    convert: Callable[[pl.Series, Column], pl.Series]
    accepts: Callable[[pl.DataType], bool]
    complaint: str = "Value out of range for {type}"


def encoding_for(column: Column, dtype: pl.DataType) -> Encoding:
    """The encoding of `dtype` in this column; raises TargetError(`unsupported_type`, `type_mismatch`)."""
    encoding = ENCODINGS.get(column.type_name)
    if encoding is None:
        raise TargetError(
            "unsupported_type",
            f"Column '{column.name}' has type {column.sql_type}, which cannot be loaded yet.",
            f"Supported are: {', '.join(sorted(ENCODINGS))}.",
        )
    if not (dtype == pl.Null or encoding.accepts(dtype)):
        raise TargetError(
            "type_mismatch",
            f"Column '{column.name}' has type {column.sql_type}, but the data has {str(dtype).lower()}.",
            "Add a cast op for it.",
        )
    return encoding


def converted(values: pl.Series, column: Column) -> tuple[pl.Series, pl.Series | None]:
    """The values as the encoder takes them, and a mask of those that do not fit the column (None when all do)."""
    if values.dtype == pl.Null:
        values = values.cast(_carrier(column))
    if values.dtype == pl.String and column.type_name not in _TEXTUAL:
        blank = values == ""
        values = values.set(blank, None) if blank.any() else values
    result = ENCODINGS[column.type_name].convert(values, column)
    if result.null_count() == values.null_count():
        return result, None
    return result, result.is_null() & values.is_not_null()


def encode(frame: pl.DataFrame, columns: Sequence[Column]) -> tuple[bytes, bytes, bytes]:
    """The columns of a frame, each as `converted` gave it, as a binary COPY stream: header, rows, trailer."""
    batch = _arrow(frame, columns)
    makers = {
        field.name: ENCODINGS[column.type_name].encoder(field)
        for field, column in zip(batch.schema, columns, strict=True)
    }
    encoder = pgpq.ArrowToPostgresBinaryEncoder.new_with_encoders(batch.schema, makers)
    return encoder.write_header(), encoder.write_batch(batch), encoder.finish()


def _arrow(frame: pl.DataFrame, columns: Sequence[Column]) -> pa.RecordBatch:
    arrays = []
    for column in columns:
        array = frame.get_column(column.name).rechunk().to_arrow()
        target = ENCODINGS[column.type_name].arrow
        # a decimal keeps the scale its values came with; the server rounds to the column's
        if array.type != target and not pa.types.is_decimal(target):
            array = array.cast(target)
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def _carrier(column: Column) -> Dtype:
    return {"bool": pl.Boolean, "bytea": pl.Binary}.get(
        column.type_name, pl.String if column.type_name in _TEXTUAL else pl.Int32
    )


def _is_integer(dtype: pl.DataType) -> bool:
    return dtype.is_integer()


def _is_number(dtype: pl.DataType) -> bool:
    return dtype.is_numeric()


def _is_scalar(dtype: pl.DataType) -> bool:
    return not dtype.is_nested() and dtype != pl.Binary


def _is_text(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum)


def _is_temporal(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.Date | pl.Datetime)


def _cast(dtype: Dtype) -> Callable[[pl.Series, Column], pl.Series]:
    def convert(values: pl.Series, column: Column) -> pl.Series:
        return values if values.dtype == dtype else values.cast(dtype, strict=False)

    return convert


def _text(values: pl.Series, column: Column) -> pl.Series:
    return values if values.dtype == pl.String else values.cast(pl.String)


def _stamp(zone: str | None) -> Callable[[pl.Series, Column], pl.Series]:
    def convert(values: pl.Series, column: Column) -> pl.Series:
        if values.dtype == pl.Date or not isinstance(values.dtype, pl.Datetime):
            values = values.cast(pl.Datetime("us"))
        assert isinstance(values.dtype, pl.Datetime)
        zoned = values.dtype.time_zone is not None
        if values.dtype.time_unit != "us":
            values = values.dt.cast_time_unit("us")
        if zoned:
            values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return values.dt.replace_time_zone(zone) if zone else values

    return convert


def _numeric(values: pl.Series, column: Column) -> pl.Series:
    dtype = values.dtype
    if isinstance(dtype, pl.Decimal):
        result = values
        if column.precision is None or _fits(dtype, column.precision, column.scale or 0):
            return result
    elif dtype.is_integer():
        result = values.cast(_ENDLESS, strict=False)
    else:
        result = values.cast(
            pl.Decimal(38, _SPARE_SCALE if column.scale is None else max(0, column.scale)), strict=False
        )
    if column.precision is None:
        return result
    # numeric(p, s) refuses what rounds to more than p - s digits before the point
    scale = column.scale or 0
    over = result.cast(pl.Float64).abs() >= 10.0 ** (column.precision - scale) - 0.5 * 10.0**-scale
    return result.set(over, None) if over.any() else result


def _fits(dtype: pl.Decimal, precision: int, scale: int) -> bool:
    return dtype.scale <= scale and (dtype.precision or 38) - dtype.scale <= precision - scale


def _uuid(values: pl.Series, column: Column) -> pl.Series:
    if values.dtype == pl.Binary:
        wrong = values.bin.size() != 16
        return values.set(wrong, None) if wrong.any() else values
    text = values.cast(pl.String)
    fast = _uuid_bytes(text)
    if fast is not None:
        return fast
    plain = text.str.replace_all("-", "", literal=True)
    wrong = plain.str.len_bytes() != 32
    return (plain.set(wrong, None) if wrong.any() else plain).str.decode("hex", strict=False)


def _uuid_bytes(text: pl.Series) -> pl.Series | None:
    """Well-formed uuids without nulls as their 16 bytes, by table lookup: five times faster than decoding strings."""
    if text.null_count() or not text.len():
        return None
    offsets_of, data_of = text.rechunk().to_arrow().buffers()[1:]
    offsets = np.frombuffer(offsets_of, dtype=np.int64)[: text.len() + 1]
    if (np.diff(offsets) != 36).any():
        return None
    digits = np.frombuffer(data_of, dtype=np.uint8)[offsets[0] : offsets[-1]].reshape(-1, 36)
    if (digits[:, _DASHES] != ord("-")).any():
        return None
    nibbles = _HEX[digits[:, _DIGITS]]
    if (nibbles > 15).any():
        return None
    packed = np.ascontiguousarray((nibbles[:, 0::2] << 4) | nibbles[:, 1::2])
    starts = np.arange(0, 16 * text.len() + 1, 16, dtype=np.int64)
    array = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), text.len(), [None, pa.py_buffer(starts), pa.py_buffer(packed)]
    )
    series = pl.from_arrow(array)
    assert isinstance(series, pl.Series)
    return series


def _enum(values: pl.Series, column: Column) -> pl.Series:
    text = values.cast(pl.String)
    wrong = ~text.is_in(list(column.labels or ()))
    return text.set(wrong, None) if wrong.any() else text


def _bytes(values: pl.Series, column: Column) -> pl.Series:
    return values.cast(pl.Binary)


def _list_of(inner: Callable[[pl.DataType], bool]) -> Callable[[pl.DataType], bool]:
    def accepts(dtype: pl.DataType) -> bool:
        return isinstance(dtype, pl.List | pl.Array) and inner(dtype.inner)  # type: ignore[arg-type]

    return accepts


def _infer(field: pa.Field) -> Any:
    return pgpq.ArrowToPostgresBinaryEncoder.infer_encoder(field)


def _text_encoding(complaint: str = "Value out of range for {type}", accepts: Any = _is_scalar) -> Encoding:
    return Encoding(pa.large_string(), wire.LargeStringEncoderBuilder, _text, accepts, complaint)


def _array(arrow: pa.DataType, dtype: Dtype, accepts: Callable[[pl.DataType], bool]) -> Encoding:
    return Encoding(pa.large_list(arrow), _infer, _cast(pl.List(dtype)), _list_of(accepts))


def _jsonb(field: pa.Field) -> Any:
    return wire.LargeStringEncoderBuilder.new_with_output(field, Jsonb())


_TEXTUAL = frozenset({"text", "varchar", "bpchar", "name", "citext", "bytea"})

ENCODINGS: dict[str, Encoding] = {
    "int2": Encoding(pa.int16(), wire.Int16EncoderBuilder, _cast(pl.Int16), _is_integer),
    "int4": Encoding(pa.int32(), wire.Int32EncoderBuilder, _cast(pl.Int32), _is_integer),
    "int8": Encoding(pa.int64(), wire.Int64EncoderBuilder, _cast(pl.Int64), _is_integer),
    "float4": Encoding(pa.float32(), wire.Float32EncoderBuilder, _cast(pl.Float32), _is_number),
    "float8": Encoding(pa.float64(), wire.Float64EncoderBuilder, _cast(pl.Float64), _is_number),
    "numeric": Encoding(pa.decimal128(38, 0), _infer, _numeric, _is_number),
    "bool": Encoding(pa.bool_(), wire.BooleanEncoderBuilder, _cast(pl.Boolean), lambda dtype: dtype == pl.Boolean),
    "text": _text_encoding(),
    "varchar": _text_encoding(),
    "bpchar": _text_encoding(),
    "name": _text_encoding(),
    "citext": _text_encoding(),
    "json": _text_encoding(accepts=_is_text),
    "jsonb": Encoding(pa.large_string(), _jsonb, _text, _is_text),
    "enum": Encoding(
        pa.large_string(), wire.LargeStringEncoderBuilder, _enum, _is_text, "Invalid value for enum {type}"
    ),
    "uuid": Encoding(
        pa.large_binary(),
        wire.LargeBinaryEncoderBuilder,
        _uuid,
        lambda dtype: _is_text(dtype) or dtype == pl.Binary,
        "Expected UUID",
    ),
    "bytea": Encoding(
        pa.large_binary(),
        wire.LargeBinaryEncoderBuilder,
        _bytes,
        lambda dtype: _is_text(dtype) or dtype == pl.Binary,
    ),
    "date": Encoding(pa.date32(), wire.Date32EncoderBuilder, _cast(pl.Date), _is_temporal),
    "time": Encoding(
        pa.time64("us"), wire.Time64MicrosecondEncoderBuilder, _cast(pl.Time), lambda dtype: dtype == pl.Time
    ),
    "timestamp": Encoding(pa.timestamp("us"), wire.TimestampMicrosecondEncoderBuilder, _stamp(None), _is_temporal),
    "timestamptz": Encoding(
        pa.timestamp("us", "UTC"), wire.TimestampMicrosecondEncoderBuilder, _stamp("UTC"), _is_temporal
    ),
    "interval": Encoding(
        pa.duration("us"),
        wire.DurationMicrosecondEncoderBuilder,
        _cast(pl.Duration("us")),
        lambda dtype: isinstance(dtype, pl.Duration),
    ),
    "_int2": _array(pa.int16(), pl.Int16, _is_integer),
    "_int4": _array(pa.int32(), pl.Int32, _is_integer),
    "_int8": _array(pa.int64(), pl.Int64, _is_integer),
    "_float8": _array(pa.float64(), pl.Float64, _is_number),
    "_text": _array(pa.large_string(), pl.String, _is_text),
    "_bool": _array(pa.bool_(), pl.Boolean, lambda dtype: dtype == pl.Boolean),
    "_date": _array(pa.date32(), pl.Date, _is_temporal),
}
