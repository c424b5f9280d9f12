"""Splits JSON lists into their elements, each as JSON text, in the bytes of a whole column at once.

polars reads a JSON list only if all its elements have one type, and numbers only as doubles. Here elements are not
parsed: brackets and commas outside of strings are where they end.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

_QUOTE, _BACKSLASH, _COMMA = b'"\\,'
_DEPTH = np.zeros(256, np.int8)
_DEPTH[[*b"[{"]], _DEPTH[[*b"]}"]] = 1, -1
_MARKS = _DEPTH != 0
_MARKS[[_QUOTE, _COMMA]] = True

LISTS = pl.List(pl.String)

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]


def json_elements(texts: pl.Series) -> pl.Series:
    """The elements of each text as JSON (LISTS). Every text must be null or a valid JSON list."""
    lists = texts.is_not_null()
    given = texts.filter(lists).str.strip_chars()
    if given.is_empty():
        return pl.Series(texts.name, [None], dtype=LISTS).extend_constant(None, texts.len())[1:]
    found = _elements(given)
    places = pl.Series(np.cumsum(lists.to_numpy()) - 1).set(~lists, None)
    return found.gather(places).alias(texts.name)


def _elements(texts: pl.Series) -> pl.Series:
    data = np.frombuffer("".join(texts).encode(), np.uint8)
    marks = _marks(data)
    deeper = _DEPTH[data[marks]]
    depth = np.cumsum(deeper, dtype=np.int64)  # valid lists end at depth 0, as they begin
    # Commas and the end of a list end an element, which is empty in `[ ]`.
    begins, ends = (deeper == 1) & (depth == 1), (deeper == -1) & (depth == 0)
    commas = (deeper == 0) & (depth == 1)
    firsts, lasts = marks[begins | commas], marks[ends | commas]
    kept = np.ones(len(data), np.bool_)
    kept[marks[begins | ends | commas]] = False
    offsets = np.concatenate([[0], np.cumsum(lasts - firsts - 1)])
    buffers = [pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(data[kept])]
    found = pl.Series(pa.LargeStringArray.from_buffers(len(lasts), *buffers)).str.strip_chars()
    bounds = np.cumsum(texts.str.len_bytes().to_numpy()).astype(np.int64)
    each = pl.DataFrame({"row": np.searchsorted(bounds, lasts, side="right"), "element": found})
    lists = each.filter(pl.col("element") != "").group_by("row", maintain_order=True).agg("element")
    every = pl.DataFrame({"row": np.arange(len(texts))})
    joined = every.join(lists, on="row", how="left", maintain_order="left").get_column("element")
    return joined.fill_null(pl.Series([[]], dtype=LISTS))


def _marks(data: Bytes) -> Places:
    """The positions of brackets and commas outside of strings. Every text closes its strings, so that no text affects
    the next."""
    marks = np.flatnonzero(_MARKS[data])
    quotes = data[marks] == _QUOTE
    if (data == _BACKSLASH).any():
        # A quote after an odd number of backslashes is escaped.
        places = np.arange(len(data))
        others = np.maximum.accumulate(np.where(data != _BACKSLASH, places, -1))
        before = marks - 1 - np.where(marks > 0, others[marks - 1], -1)
        escaped = quotes & (before % 2 == 1)
        marks, quotes = marks[~escaped], quotes[~escaped]
    outside: Places = marks[(np.cumsum(quotes) % 2 == 0) & ~quotes]
    return outside
