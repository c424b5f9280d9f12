"""Values for numeric columns and text literals that the server casts."""

from __future__ import annotations

import polars as pl

from headrace.connectors.datatypes import MAX_PRECISION
from headrace.connectors.postgresql.tables.describe import Column

_NUMBER = r"^[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|(?i:inf|infinity))$|^(?i:nan)$"


def only_as_text(column: Column) -> bool:
    """Whether a numeric column holds values that no polars Decimal can: no declared size, more than 38 digits, or a
    scale outside 0 to precision."""
    precision, scale = column.precision, column.scale or 0
    return column.type_name == "numeric" and (
        precision is None or precision > MAX_PRECISION or not 0 <= scale <= precision
    )


def as_numeric(values: pl.Series, column: Column) -> pl.Series:
    """The values as Decimal, or as text for the server; null where a text is not a number, or one out of range."""
    dtype = values.dtype
    if isinstance(dtype, pl.Decimal):
        result = values
    elif dtype.is_integer():
        result = values.cast(pl.Decimal(MAX_PRECISION, 0), strict=False)
    else:
        result = _exact_decimals(values if dtype == pl.String else values.cast(pl.String))
    if column.precision is None or not isinstance(result.dtype, pl.Decimal):
        return result
    scale = column.scale or 0
    if _fits(result.dtype, column.precision, scale):
        return result
    # numeric(p, s) rejects values that round to more than p - s digits before the point. Values closer to that limit
    # than a float can represent are left to the server.
    limit = (10.0 ** (column.precision - scale) - 0.5 * 10.0**-scale) * (1 + 1e-12)
    over = result.cast(pl.Float64).abs() >= limit
    if not over.any():
        return result
    return values if dtype == pl.String else result.set(over, None)


def _exact_decimals(text: pl.Series) -> pl.Series:
    scale = _longest_fraction(text)
    if scale <= MAX_PRECISION and not text.str.contains("[eE]").any():
        result = text.cast(pl.Decimal(MAX_PRECISION, scale), strict=False)
        if result.null_count() == text.null_count():
            return result
    text = text.str.strip_chars()
    wrong = ~text.str.contains(_NUMBER)
    return text.set(wrong, None) if wrong.any() else text


def _longest_fraction(text: pl.Series) -> int:
    longest = (text.str.len_bytes() - 1 - text.str.find(".", literal=True)).max()
    return longest if isinstance(longest, int) else 0


def _fits(dtype: pl.Decimal, precision: int, scale: int) -> bool:
    return dtype.scale <= scale and (dtype.precision or MAX_PRECISION) - dtype.scale <= precision - scale


def as_literals(values: pl.Series) -> pl.Series:
    """Any column as text for the input function of a suitable type; lists as `{a,"b c",NULL}`."""
    dtype = values.dtype
    if isinstance(dtype, pl.Array):
        return as_literals(values.arr.to_list())
    if isinstance(dtype, pl.List):
        return values.to_frame("v").select(_array(pl.col("v"), dtype)).to_series().alias(values.name)
    return values.to_frame("v").select(_scalar(pl.col("v"), dtype)).to_series().alias(values.name)


def _array(value: pl.Expr, dtype: pl.List) -> pl.Expr:
    inner = dtype.inner
    if isinstance(inner, pl.Array):
        inner = pl.List(inner.inner)
        value = value.cast(pl.List(inner))
    if isinstance(inner, pl.List):
        elements = value.list.eval(_array(pl.element(), inner).fill_null("NULL"))
    else:
        # Every element is quoted, so that no text can be mistaken for a null, a brace or a comma.
        escaped = _scalar(pl.element(), inner).str.replace_many(["\\", '"'], ["\\\\", '\\"'])  # type: ignore[arg-type]
        elements = value.list.eval(pl.format('"{}"', escaped).fill_null("NULL"))
    return pl.format("{}{}{}", pl.lit("{"), elements.list.join(","), pl.lit("}"))


def _scalar(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if isinstance(dtype, pl.Duration):
        return pl.format("{} microseconds", value.dt.total_microseconds())
    if dtype == pl.Binary:
        return pl.format("\\x{}", value.bin.encode("hex"))
    if isinstance(dtype, pl.Struct):
        return value.struct.json_encode()
    if isinstance(dtype, pl.Datetime):
        return value.dt.to_string("iso")
    if dtype == pl.Time:
        return value.dt.to_string("%H:%M:%S%.6f")
    return value.cast(pl.String)
