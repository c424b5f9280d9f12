"""Polars values as PostgreSQL writes them: what the server casts travels in this form."""

from __future__ import annotations

import polars as pl


def as_literals(values: pl.Series) -> pl.Series:
    """Any column as text that the input function of a fitting type reads: lists as `{a,"b c",NULL}`."""
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
        # Every element is quoted: then no text can be mistaken for a null, a brace or a comma.
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
