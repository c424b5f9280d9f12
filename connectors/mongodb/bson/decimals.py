"""Decimal128 as text, as its specification writes it: `1.10`, `1.5E+20`, `NaN`, `-Infinity`.

The sixteen bytes are IEEE 754-2008's decimal128 with a binary integer coefficient: a sign, a combination of 17 bits
(NaN, infinity, or the exponent plus 6176) and 113 bits of coefficient. A coefficient of more than 34 digits is zero.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from headrace.connectors.mongodb.bson.layout import Buffer, Places

_BIAS = 6176
_DIGITS = 34
_GROUP = 10**9
_SMALLEST = -6
"""The smallest exponent of the first digit of a number that is written without E."""


def decimal_text(buffer: Buffer, at: Places) -> pl.Series:
    """The numbers at these byte positions as text."""
    low = buffer.read("<u8", at).astype(np.uint64)
    high = buffer.read("<u8", at + 8).astype(np.uint64)
    negative = (high >> np.uint64(63)).astype(bool)
    top = (high >> np.uint64(58)) & np.uint64(31)
    large = ((high >> np.uint64(61)) & np.uint64(3)) == 3
    shift = np.where(large, np.uint64(47), np.uint64(49))
    exponent = ((high >> shift) & np.uint64(0x3FFF)).astype(np.int64) - _BIAS
    upper = np.where(large, np.uint64(0), high & np.uint64((1 << 49) - 1))
    digits = _digits(upper, np.where(large, np.uint64(0), low))
    digits = digits.set(digits.str.len_bytes() > _DIGITS, "0")
    frame = pl.DataFrame({"digits": digits, "exponent": exponent, "negative": negative, "top": top})
    special = pl.when(pl.col("top") == 31).then(pl.lit("NaN")).when(pl.col("top") == 30).then(pl.lit("Infinity"))
    body = special.otherwise(_written(pl.col("digits"), pl.col("exponent")))
    sign = pl.when(pl.col("negative") & (pl.col("top") != 31)).then(pl.lit("-")).otherwise(pl.lit(""))
    return frame.select(pl.concat_str(sign, body).alias("text")).to_series()


def _digits(
    high: np.ndarray[tuple[int], np.dtype[np.uint64]], low: np.ndarray[tuple[int], np.dtype[np.uint64]]
) -> pl.Series:
    """A number of 128 bits in decimal digits, by dividing its four words by 10^9 four times."""
    half = np.uint64(32)
    mask = np.uint64(0xFFFFFFFF)
    words = [high >> half, high & mask, low >> half, low & mask]
    groups = []
    for _ in range(4):
        rest = np.zeros(len(low), dtype=np.uint64)
        for place, word in enumerate(words):
            value = (rest << half) | word
            words[place], rest = value // np.uint64(_GROUP), value % np.uint64(_GROUP)
        groups.append(rest)
    parts = [pl.Series(str(place), group).cast(pl.String).str.zfill(9) for place, group in enumerate(reversed(groups))]
    # four groups of nine digits hold 36; more is invalid
    above = pl.Series("above", words[-1] | words[-2] | words[-3] | words[-4]) > 0
    whole = pl.DataFrame(parts).select(pl.concat_str(pl.all()).str.strip_chars_start("0").alias("digits")).to_series()
    return whole.set(whole == "", "0").set(above, "9" * (_DIGITS + 1))


def _written(digits: pl.Expr, exponent: pl.Expr) -> pl.Expr:
    count = digits.str.len_bytes().cast(pl.Int64)
    first = exponent + count - 1
    point = pl.when(exponent == 0).then(digits)
    inside = pl.concat_str(digits.str.head(count + exponent), pl.lit("."), digits.str.slice(count + exponent))
    before = pl.concat_str(pl.lit("0."), digits.str.zfill((-exponent).clip(0, 40)))
    short = (exponent < 0) & (first >= _SMALLEST)
    power = pl.concat_str(
        digits.str.head(1),
        pl.when(count > 1).then(pl.concat_str(pl.lit("."), digits.str.slice(1))).otherwise(pl.lit("")),
        pl.when(first < 0).then(pl.lit("E-")).otherwise(pl.lit("E+")),
        first.abs().cast(pl.String),
    )
    return point.when(short & (count + exponent > 0)).then(inside).when(short).then(before).otherwise(power)
