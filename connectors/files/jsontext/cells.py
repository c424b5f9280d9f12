"""A column of JSON values as text, vectorised: strings without quotes and escapes, everything else as written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from headrace.connectors.files.delimited.structure import BITS, Bytes, view

_TEXTS = msgspec.json.Decoder(list[str])
QUOTE, NOTHING = ord('"'), ord("n")
NESTED = (ord("{"), ord("["))

SEPARATOR = b"\0"
"""Between the values of a column; no byte of JSON text is 0."""


@dataclass(frozen=True, slots=True)
class Cells:
    """`first` is the first byte of each value, which determines its kind: a quote, a bracket, `n` of null, a digit."""

    text: pl.Series
    first: Bytes


def cells(name: str, values: Sequence[msgspec.Raw], *, verbatim: bool = False, whole: bool = False) -> Cells:
    """Each value as text, null for null. `verbatim` keeps strings as in JSON; `whole` writes the number 1.0 as 1, for
    libraries that write whole numbers so."""
    return joined_cells(name, SEPARATOR.join(values), len(values), verbatim=verbatim, whole=whole)


def joined_cells(name: str, values: bytes, count: int, *, verbatim: bool = False, whole: bool = False) -> Cells:
    """Like `cells`, of so many values with SEPARATOR between them."""
    if not count:
        return Cells(pl.Series(name, [], dtype=pl.String), np.zeros(0, dtype=np.uint8))
    data = view(values)
    breaks = np.flatnonzero(data == SEPARATOR[0])
    assert len(breaks) == count - 1
    begins = np.concatenate((np.zeros(1, dtype=np.int64), breaks + 1))
    ends = np.concatenate((breaks, np.full(1, len(data), dtype=np.int64)))
    first = data[begins]
    nothing = first == NOTHING
    quoted = np.zeros(count, dtype=bool) if verbatim else first == QUOTE
    text = _series(data, begins + quoted, np.where(nothing, begins, ends - quoted), nothing)
    if not verbatim and b"\\" in values:
        escaped = _escaped(data, begins, quoted)
        written = [values[begins[place] : ends[place]] for place in escaped.tolist()]
        text = text.scatter(escaped, pl.Series(_TEXTS.decode(b"[" + b",".join(written) + b"]"), dtype=pl.String))
    if whole and b".0" in values:
        numbers = pl.Series(first != QUOTE) & text.str.ends_with(".0").fill_null(value=False)
        text = text.zip_with(~numbers, text.str.replace(r"^(-?\d+)\.0$", "$1"))
    return Cells(text.alias(name), first)


def _escaped(data: Bytes, begins: BITS, quoted: npt.NDArray[np.bool_]) -> BITS:
    """The indexes of the strings with escapes."""
    at = np.unique(np.searchsorted(begins, np.flatnonzero(data == ord("\\")), side="right") - 1)
    found: BITS = at[quoted[at]]
    return found


def _series(data: Bytes, begins: BITS, ends: BITS, nothing: npt.NDArray[np.bool_]) -> pl.Series:
    """The texts at these places, without a copy of them: texts, and what is between them, are taken by turns, and every
    second one is kept."""
    bounds = np.empty(2 * len(begins), dtype=np.int64)
    bounds[0::2], bounds[1::2] = begins, ends
    valid = None
    if nothing.any():
        there = np.ones(len(bounds) - 1, dtype=bool)
        there[0::2] = ~nothing
        valid = pa.py_buffer(np.packbits(there, bitorder="little"))
    turns = pa.LargeStringArray.from_buffers(len(bounds) - 1, pa.py_buffer(bounds), pa.py_buffer(data), valid)
    found = pl.from_arrow(turns)
    assert isinstance(found, pl.Series)
    return found.gather_every(2)
