"""Models that ops run over columns, offline: the libraries behind them ship their data (extra `headrace[models]`).

A model is loaded once in a process, at the first value. It is asked once for each distinct value of a batch.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

MAX_CHARACTERS = 4_000
"""So much of a text is read: time and memory grow with it, and what it is about stands at its beginning."""


def per_distinct(
    rows: pl.DataFrame, compute: Callable[[pl.DataFrame], pl.Series], dtype: pl.DataType | type[pl.DataType]
) -> pl.Series:
    """`compute` for the distinct rows that have no null, put in the place of each; null for the others. `compute` gives
    one value of `dtype` for each row it is given."""
    distinct = rows.drop_nulls().unique(maintain_order=True)
    if distinct.is_empty():
        return pl.Series("result", [None], dtype=dtype).extend_constant(None, rows.height)[1:]
    found = distinct.with_columns(compute(distinct).alias("__result"))
    return rows.join(found, on=rows.columns, how="left", maintain_order="left").get_column("__result")


def per_distinct_text(
    texts: pl.Series, compute: Callable[[list[str]], pl.Series], dtype: pl.DataType | type[pl.DataType]
) -> pl.Series:
    """The same for the beginnings of texts. Blank ones have nothing to say: they give null, as null does."""
    shown = texts.str.slice(0, MAX_CHARACTERS).str.strip_chars()
    shown = shown.set(shown == "", None).alias("text")
    return per_distinct(shown.to_frame(), lambda rows: compute(rows.to_series().to_list()), dtype)
