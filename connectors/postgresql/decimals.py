"""Numbers for a numeric column: exactly what was given, or nothing; only the column's own scale may round them.

A batch is carried as decimals of one scale where 38 digits (what polars has) hold all of it. What they cannot hold
(more digits, NaN, infinity, exponents) stays text, which the server reads (see `server_cast`). Floats go by their
shortest decimal form: taken as binary, 123456789.125 would be stored as 123456789.125000007446953984.
"""

from __future__ import annotations

import polars as pl

from connectors.postgresql.tables import Column
from connectors.types import MAX_PRECISION

_NUMBER = r"^[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|(?i:inf|infinity))$|^(?i:nan)$"


def only_as_text(column: Column) -> bool:
    """A numeric column that holds values no Decimal of its precision and scale can: no size, a huge or an odd one."""
    precision, scale = column.precision, column.scale or 0
    return column.type_name == "numeric" and (
        precision is None or precision > MAX_PRECISION or not 0 <= scale <= precision
    )


def as_numeric(values: pl.Series, column: Column) -> pl.Series:
    """The values as Decimal, or as text for the server; null where a text is no number, or a number out of the
    column's range."""
    dtype = values.dtype
    if isinstance(dtype, pl.Decimal):
        result = values
    elif dtype.is_integer():
        result = values.cast(pl.Decimal(MAX_PRECISION, 0), strict=False)
    else:
        result = _exact(values if dtype == pl.String else values.cast(pl.String))
    if column.precision is None or not isinstance(result.dtype, pl.Decimal):
        return result
    scale = column.scale or 0
    if _fits(result.dtype, column.precision, scale):
        return result
    # numeric(p, s) refuses what rounds to more than p - s digits before the point; what is nearer to that limit than a
    # float can tell is left to the server.
    limit = (10.0 ** (column.precision - scale) - 0.5 * 10.0**-scale) * (1 + 1e-12)
    over = result.cast(pl.Float64).abs() >= limit
    if not over.any():
        return result
    return values if dtype == pl.String else result.set(over, None)


def _exact(text: pl.Series) -> pl.Series:
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
