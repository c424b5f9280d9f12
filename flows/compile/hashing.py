"""Hashes of text inside a plan, in hexadecimal; null for null. Vectorised by polars-hash, the same on every machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import polars as pl
import polars_hash as plh
import pyarrow as pa

BETWEEN = "\x1f"
"""What stands between the texts of several columns that are hashed together (the unit separator)."""

MISSING = "\x00"
"""What stands for a null among them; no text that PostgreSQL can hold is the same."""


def hashed(text: pl.Expr, algorithm: str, salt: str | None = None) -> pl.Expr:
    """The hash of a text column's UTF-8 bytes behind those of `salt`."""
    return HASHES[algorithm](cast("plh.HExpr", text if salt is None else pl.concat_str(pl.lit(salt), text)))


def together(texts: list[pl.Expr]) -> pl.Expr:
    """Several text columns as one text that no other values give; null when all are."""
    joined = pl.concat_str([text.fill_null(MISSING) for text in texts], separator=BETWEEN)
    return pl.when(pl.any_horizontal(text.is_not_null() for text in texts)).then(joined)


def _hexadecimal(numbers: pl.Series) -> pl.Series:
    """64-bit numbers as 16 digits, the highest first."""
    bytes_of = numbers.fill_null(0).to_numpy().astype(">u8").tobytes()
    array = pa.Array.from_buffers(pa.binary(8), len(numbers), [None, pa.py_buffer(bytes_of)])
    digits = cast("pl.Series", pl.from_arrow(array)).cast(pl.Binary).bin.encode("hex")
    return digits.set(numbers.is_null(), None).alias(numbers.name)


HASHES: dict[str, Callable[[plh.HExpr], pl.Expr]] = {
    "sha256": lambda text: text.chash.sha2_256(),
    "sha512": lambda text: text.chash.sha2_512(),
    "md5": lambda text: text.nchash.md5(),
    "xxh3_64": lambda text: text.nchash.xxh3_64().map_batches(
        _hexadecimal, return_dtype=pl.String, is_elementwise=True
    ),
}
"""By the algorithm's name in a document."""
