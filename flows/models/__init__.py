"""Models that ops run over columns, offline: their libraries ship their data (extra `headrace[models]`).

A model is loaded once per process, at the first value, and runs once for each distinct value of a batch.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

MAX_CHARACTERS = 4_000
"""Texts are cut to this length, because time and memory grow with it."""


def per_distinct(
    rows: pl.DataFrame, compute: Callable[[pl.DataFrame], pl.Series], dtype: pl.DataType | type[pl.DataType]
) -> pl.Series:
    """Runs `compute` on the distinct rows without nulls: a Series with one result per row of `rows`, null for rows with
    nulls. `compute` returns one value of `dtype` per row it gets."""
    distinct = rows.drop_nulls().unique(maintain_order=True)
    if distinct.is_empty():
        return pl.Series("result", [None], dtype=dtype).extend_constant(None, rows.height)[1:]
    found = distinct.with_columns(compute(distinct).alias("__result"))
    return rows.join(found, on=rows.columns, how="left", maintain_order="left").get_column("__result")


def per_distinct_text(
    texts: pl.Series, compute: Callable[[list[str]], pl.Series], dtype: pl.DataType | type[pl.DataType]
) -> pl.Series:
    """Applies a model to texts, cut to MAX_CHARACTERS. Blank text and null become null."""
    shown = texts.str.slice(0, MAX_CHARACTERS).str.strip_chars()
    shown = shown.set(shown == "", None).alias("text")
    return per_distinct(shown.to_frame(), lambda rows: compute(rows.to_series().to_list()), dtype)
