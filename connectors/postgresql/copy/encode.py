"""Encodes a polars frame in PostgreSQL's binary COPY format, and finds the cells that do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pgpq
import pgpq.encoders as wire
import polars as pl
import pyarrow as pa
from pgpq.schema import Jsonb
from polars.datatypes import DataTypeClass

from headrace.connectors.casting.times import in_microseconds, time_in_microseconds
from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.copy.type_messages import expected_type
from headrace.connectors.postgresql.copy.values import as_literals, as_numeric, only_as_text
from headrace.connectors.postgresql.tables.describe import Column

_DASHES = [8, 13, 18, 23]
_DIGITS = [place for place in range(36) if place not in _DASHES]
_HEX = np.full(256, 255, dtype=np.uint8)
for _value, _pair in enumerate(zip(b"0123456789abcdef", b"0123456789ABCDEF", strict=True)):
    _HEX[list(_pair)] = _value

PIECE_BYTES = 1 << 20
"""Memory of this size is given back and taken again without the operating system, and stays in the processor's cache
until it is sent: encoding a batch at once takes a third longer."""
_NAME_BYTES = 63
_VIEWS = hasattr(wire, "StringViewEncoderBuilder")
TEXT = pa.string_view() if _VIEWS else pa.large_string()
"""How texts are given to the encoder: as polars has them, without a copy. The pgpq release for Linux on ARM needs a
copy."""
TEXT_ENCODER = wire.StringViewEncoderBuilder if _VIEWS else wire.LargeStringEncoderBuilder
Dtype = pl.DataType | DataTypeClass


@dataclass(frozen=True, slots=True)
class Encoding:
    """How one column is encoded. `convert` returns values for the encoder, null where a value does not fit."""

    arrow: pa.DataType
    encoder: Callable[[pa.Field], Any]
    convert: Callable[[pl.Series, Column], pl.Series]
    accepts: Callable[[pl.DataType], bool]
    complaint: str = "Value out of range for {type}"


def check_dtype(column: Column, dtype: pl.DataType) -> None:
    """Raises TargetError(`type_mismatch`) if the column cannot take values of this dtype."""
    if not (dtype == pl.Null or _encoded(column, dtype) or _as_text(column, dtype)):
        raise TargetError(
            "type_mismatch",
            f"Column '{column.name}' has type {column.sql_type}, but the data has {str(dtype).lower()}.",
            "Add a cast op for it.",
        )


def accepts_as_is(column: Column, dtype: pl.DataType) -> bool:
    """Whether a plan should pass values of this dtype on unchanged, because its own cast would lose something (digits,
    bytes, list elements) or knows the type less precisely."""
    if column.type_name == "numeric":
        return dtype.is_numeric() or (dtype == pl.String and only_as_text(column))
    if column.type_name in ("bytea", "uuid"):
        return dtype == pl.Binary
    if column.type_name in ENCODINGS and column.type_name not in _ALSO_AS_TEXT:
        return False
    return _encoded(column, dtype) or dtype.is_nested() or dtype in (pl.String, pl.Binary)


def _encoded(column: Column, dtype: pl.DataType) -> bool:
    encoding = ENCODINGS.get(column.type_name)
    return encoding is not None and encoding.accepts(dtype)


def _as_text(column: Column, dtype: pl.DataType) -> bool:
    """Whether the server casts the values from text: any type without an encoder, and some that have one."""
    return (
        column.type_name not in ENCODINGS
        or (column.type_name in _ALSO_AS_TEXT and (_is_text(dtype) or dtype.is_nested()))
        or (only_as_text(column) and _is_text(dtype))
    )


def misfit_message(column: Column, dtype: pl.DataType) -> str:
    """The message about a value of this dtype that does not fit the column."""
    if column.type_name in ENCODINGS and not _is_text(dtype):
        return ENCODINGS[column.type_name].complaint.format(type=column.sql_type)
    return (
        _COMPLAINTS[column.type_name].format(type=column.sql_type)
        if column.type_name in _COMPLAINTS
        else expected_type(column)
    )


def convert_column(values: pl.Series, column: Column) -> tuple[pl.Series, pl.Series | None]:
    """(the values for the encoder, or as text for the server; a mask of values that do not fit the column, or None)."""
    if values.dtype == pl.Null:
        return values.cast(_carrier(column)), None
    if values.dtype == pl.String and column.type_name not in _BLANK_IS_VALUE:
        blank = (values if column.type_name in _CHECKED_BEFORE else values.str.strip_chars()) == ""
        values = values.set(blank, None) if blank.any() else values
    if _encoded(column, values.dtype):
        result = ENCODINGS[column.type_name].convert(values, column)
    else:
        result = _numeric(values, column) if column.type_name == "numeric" else _as_server_text(values, column)
    if result.null_count() == values.null_count():
        return result, None
    return result, result.is_null() & values.is_not_null()


def encode(frame: pl.DataFrame, columns: Sequence[Column]) -> Iterator[bytes]:
    """The columns of a converted frame as a binary COPY stream, in pieces: header, about PIECE_BYTES of rows each,
    trailer."""
    batch = _arrow(frame, columns)
    makers = {
        field.name: ENCODINGS[column.type_name].encoder(field)
        for field, column in zip(batch.schema, columns, strict=True)
    }
    encoder = pgpq.ArrowToPostgresBinaryEncoder.new_with_encoders(batch.schema, makers)
    yield encoder.write_header()
    rows = max(1, PIECE_BYTES * frame.height // max(1, int(frame.estimated_size())))
    for first in range(0, frame.height, rows):
        yield encoder.write_batch(batch.slice(first, rows))
    yield encoder.finish()


def _arrow(frame: pl.DataFrame, columns: Sequence[Column]) -> pa.RecordBatch:
    arrays = []
    for column in columns:
        target = ENCODINGS[column.type_name].arrow
        level = pl.CompatLevel.newest() if target == pa.string_view() else pl.CompatLevel.oldest()
        array = frame.get_column(column.name).rechunk().to_arrow(compat_level=level)
        # a decimal keeps the scale of its values; the server rounds to the column's scale
        if array.type != target and not pa.types.is_decimal(target):
            array = array.cast(target)
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def _carrier(column: Column) -> Dtype:
    """The dtype of a column of nulls only."""
    encoding = ENCODINGS.get(column.type_name)
    if encoding is None or (pa.types.is_decimal(encoding.arrow) and not ENCODES_DECIMALS):
        return pl.String
    return pl.Schema(pa.schema([("v", encoding.arrow)]))["v"]


def _as_server_text(values: pl.Series, column: Column) -> pl.Series:
    if _is_text(values.dtype) or column.is_array or not values.dtype.is_nested():
        return as_literals(values)
    return values.to_frame("v").select(pl.struct("v").struct.json_encode().str.slice(5).str.head(-1)).to_series()


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
            values = in_microseconds(values)
        if zoned:
            values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return values.dt.replace_time_zone(zone) if zone else values

    return convert


def _time(values: pl.Series, column: Column) -> pl.Series:
    return time_in_microseconds(values if values.dtype == pl.Time else values.cast(pl.Time, strict=False))


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
    """Well-formed uuids without nulls as 16 bytes each, by table lookup: five times faster than decoding strings. None
    for any other column."""
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
    """Text is taken as its UTF-8 bytes, but `\\x0aff` as the hex that PostgreSQL writes."""
    if values.dtype == pl.Binary:
        return values
    text = values.cast(pl.String)
    hexadecimal = text.str.starts_with("\\x")
    if not hexadecimal.any():
        return text.cast(pl.Binary)
    decoded = text.str.slice(2).str.decode("hex", strict=False)
    return text.to_frame("t").select(pl.when(hexadecimal).then(decoded).otherwise(text.cast(pl.Binary))).to_series()


def _single(values: pl.Series, column: Column) -> pl.Series:
    """Numbers as float4. A value that only float4 turns into infinity or zero is out of range, as in PostgreSQL."""
    if values.dtype == pl.Float32:
        return values
    double = values.cast(pl.Float64, strict=False)
    single = double.cast(pl.Float32)
    lost = (single.is_infinite() & double.is_finite()) | ((single == 0) & (double != 0))
    return single.set(lost, None) if lost.any() else single


def _short_name(values: pl.Series, column: Column) -> pl.Series:
    text = _text(values, column)
    long = text.str.len_bytes() > _NAME_BYTES
    return text.set(long, None) if long.any() else text


def _list_of(inner: Callable[[pl.DataType], bool]) -> Callable[[pl.DataType], bool]:
    def accepts(dtype: pl.DataType) -> bool:
        return isinstance(dtype, pl.List | pl.Array) and inner(dtype.inner)  # type: ignore[arg-type]

    return accepts


def _encodes_decimals() -> bool:
    """False with the pgpq release for Linux on ARM, where the server casts decimals from text."""
    try:
        pgpq.ArrowToPostgresBinaryEncoder.infer_encoder(pa.field("decimal", pa.decimal128(38, 0)))
    except RuntimeError:
        return False
    return True


ENCODES_DECIMALS = _encodes_decimals()


def _numeric(values: pl.Series, column: Column) -> pl.Series:
    result = as_numeric(values, column)
    return result if ENCODES_DECIMALS or result.dtype == pl.String else result.cast(pl.String)


def _infer(field: pa.Field) -> Any:
    return pgpq.ArrowToPostgresBinaryEncoder.infer_encoder(field)


def _text_encoding(complaint: str = "Value out of range for {type}", accepts: Any = _is_scalar) -> Encoding:
    return Encoding(TEXT, TEXT_ENCODER, _text, accepts, complaint)


def _array(arrow: pa.DataType, dtype: Dtype, accepts: Callable[[pl.DataType], bool]) -> Encoding:
    return Encoding(pa.large_list(arrow), _infer, _cast(pl.List(dtype)), _list_of(accepts))


def _jsonb(field: pa.Field) -> Any:
    return TEXT_ENCODER.new_with_output(field, Jsonb())


_ALSO_AS_TEXT = frozenset({"interval", "_int2", "_int4", "_int8", "_float8", "_text", "_bool", "_date"})
"""Types with an encoder for native values, while text is cast by the server."""

_CHECKED_BEFORE = frozenset({"uuid"})
"""Types whose blank texts the plan already makes null; checking again costs more than encoding."""

_COMPLAINTS = {"enum": "Invalid value for enum {type}", "name": "Value too long for {type}"}
"""Messages about texts where the problem is not the type."""

_BLANK_IS_VALUE = frozenset({"text", "varchar", "bpchar", "name", "citext", "bytea", "char", "enum", "varbit"})
_BLANK_IS_VALUE |= {"hstore", "ltree", "tsquery", "tsvector", "xml"}
"""Types for which a blank text is a value, or one that does not fit, and never a missing one: those that the server
reads an empty text as, and enums, which have the labels that they have."""

ENCODINGS: dict[str, Encoding] = {
    "int2": Encoding(pa.int16(), wire.Int16EncoderBuilder, _cast(pl.Int16), _is_integer),
    "int4": Encoding(pa.int32(), wire.Int32EncoderBuilder, _cast(pl.Int32), _is_integer),
    "int8": Encoding(pa.int64(), wire.Int64EncoderBuilder, _cast(pl.Int64), _is_integer),
    "float4": Encoding(pa.float32(), wire.Float32EncoderBuilder, _single, _is_number),
    "float8": Encoding(pa.float64(), wire.Float64EncoderBuilder, _cast(pl.Float64), _is_number),
    "numeric": Encoding(pa.decimal128(38, 0), _infer, _numeric, _is_number),
    "bool": Encoding(pa.bool_(), wire.BooleanEncoderBuilder, _cast(pl.Boolean), lambda dtype: dtype == pl.Boolean),
    "text": _text_encoding(),
    "varchar": _text_encoding(),
    "bpchar": _text_encoding(),
    "name": Encoding(TEXT, TEXT_ENCODER, _short_name, _is_scalar, "Value too long for {type}"),
    "citext": _text_encoding(),
    "json": _text_encoding(accepts=_is_text),
    "jsonb": Encoding(TEXT, _jsonb, _text, _is_text),
    "enum": Encoding(TEXT, TEXT_ENCODER, _enum, _is_text, "Invalid value for enum {type}"),
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
    "time": Encoding(pa.time64("us"), wire.Time64MicrosecondEncoderBuilder, _time, lambda dtype: dtype == pl.Time),
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
