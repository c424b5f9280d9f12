"""Text to doubles and decimals, rounded as PostgreSQL rounds."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import polars as pl

from headrace.connectors.datatypes import MAX_PRECISION, decimal_size
from headrace.ir.schema import Field

_MORE_PLACES = 12
"""Digits beyond a decimal's scale that are kept when a number in exponent notation is written out, before rounding."""
_SHORTEST_POWER = 4
"""Characters after the point of the shortest number in exponent notation that may need rounding: `2.5e-4`."""

_POINT, _EXPONENT, _LOWER = ord("."), ord("e"), ord("a") - ord("A")


def cast_double(text: pl.Series, field: Field) -> pl.Series:
    """The column as doubles. A finite number too large for a double is null (an error in PostgreSQL), not infinity."""
    result = text.cast(pl.Float64, strict=False)
    endless = result.is_infinite()
    if not endless.any():
        return result
    over = endless & ~text.str.contains(r"^\s*[+-]?(?i:inf|infinity)\s*$")
    return result.set(over, None) if over.any() else result


def cast_decimal(text: pl.Series, field: Field) -> pl.Series:
    """The column as decimals: rounded to a declared scale (halves away from zero); without one, null where a digit does
    not fit."""
    precision, scale = decimal_size(field)
    result = text.cast(pl.Decimal(precision, scale), strict=False)
    if _all_are_read_alike(text, scale):
        return result
    # Cells with exactly as many digits after the point as the scale need no check, and are quick to find.
    checked = text.str.slice(-(scale + 1), 1) != "." if 0 < scale < _SHORTEST_POWER else text.is_not_null()
    places = checked.arg_true()
    sized = field.precision is not None or field.scale is not None
    return result.scatter(places, _as_postgresql_reads(text.gather(places), result.gather(places), scale, sized=sized))


def _all_are_read_alike(text: pl.Series, scale: int) -> bool:
    """Whether polars reads every cell as PostgreSQL does, judged by the column's bytes at once: no cell has an exponent
    or more digits after the point than the scale."""
    texts = (text.drop_nulls() if text.null_count() else text).rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, content = texts.buffers()
    if not len(texts) or content is None:
        return True
    bounds = np.frombuffer(offsets, dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(content, dtype=np.uint8)[bounds[0] : bounds[-1]]
    begins, ends = bounds[:-1] - bounds[0], bounds[1:] - bounds[0]
    at = ends - scale - 1
    if 0 < scale < _SHORTEST_POWER and bool((at >= begins).all()) and bool((data[at] == _POINT).all()):
        return True
    if bool(((data | _LOWER) == _EXPONENT).any()):
        return False
    after = np.flatnonzero(data == _POINT) + 1
    is_end = np.zeros(len(data) + scale + 1, dtype=bool)
    is_end[ends] = True
    ended = is_end[after]
    for places in range(1, scale + 1):
        ended |= is_end[after + places]
    return bool(ended.all())


def _as_postgresql_reads(text: pl.Series, result: pl.Series, scale: int, *, sized: bool) -> pl.Series:
    """`result`, corrected where polars reads a cell differently from PostgreSQL."""
    powers = text.str.contains("[eE]")
    if powers.any():
        text = text.clone().scatter(powers.arg_true(), _written_out(text.filter(powers), scale))
        result = text.cast(result.dtype, strict=False)
    point = text.str.find(".", literal=True)
    longer = ((text.str.len_bytes() - 1 - point) > scale).fill_null(value=False)
    if not longer.any():
        return result
    places = longer.arg_true()
    cells = pl.DataFrame(
        {"cell": text.gather(places), "end": point.gather(places) + 1 + scale, "read": result.gather(places)}
    )
    corrected = cells.select((_rounded if sized else _undiminished)(scale)).to_series()
    return result.scatter(places, corrected.cast(result.dtype, strict=False))


def _rounded(scale: int) -> pl.Expr:
    """Cells with more digits than the scale, halves rounded away from zero; polars (`read`) rounds them to even."""
    cut = pl.col("cell").str.head("end").cast(pl.Decimal(MAX_PRECISION, scale), strict=False)
    rest = pl.col("cell").str.slice("end")
    unit = pl.lit(Decimal(1).scaleb(-scale)).cast(pl.Decimal(MAX_PRECISION, scale))
    away = pl.when(pl.col("cell").str.contains(r"^\s*-")).then(-unit).otherwise(unit)
    half = pl.when(rest.str.contains("^[5-9]")).then(cut + away).otherwise(cut)
    return pl.when(rest.str.contains(r"^\d+\s*$") & cut.is_not_null()).then(half).otherwise("read")


def _undiminished(scale: int) -> pl.Expr:
    """Cells with more digits than the scale: null if a digit other than 0 would be lost."""
    return pl.when(pl.col("cell").str.slice("end").str.contains(r"^0*\s*$")).then("read")


def _written_out(cells: pl.Series, scale: int) -> pl.Series:
    """Numbers in exponent notation as plain digits; null if there would be too many after the point."""
    places = min(MAX_PRECISION - 1, scale + _MORE_PLACES)
    frame = pl.DataFrame({"cell": cells})
    digits = pl.col("cell").str.extract(r"\.([0-9]*?)0*[eE]").str.len_chars().fill_null(0).cast(pl.Int64)
    power = pl.col("cell").str.extract(r"[eE]([+-]?[0-9]+)\s*$").cast(pl.Int64, strict=False)
    nothing = pl.col("cell").str.contains(r"^\s*[+-]?(?:0+\.?0*|\.0+)[eE]")
    plain = pl.col("cell").cast(pl.Decimal(MAX_PRECISION, places), strict=False).cast(pl.String)
    written = pl.when(power.is_not_null() & nothing).then(pl.lit("0")).when(digits - power <= places).then(plain)
    return frame.select(written).to_series()
