"""A column of JSON values as text, vectorised: strings without quotes and escapes, everything else as written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from headrace.connectors.files.delimited.structure import Bytes

_TEXTS = msgspec.json.Decoder(list[str])
QUOTE, NOTHING = ord('"'), ord("n")
NESTED = (ord("{"), ord("["))


@dataclass(frozen=True, slots=True)
class Cells:
    """`first` is the first byte of each value, which determines its kind: a quote, a bracket, `n` of null, a digit."""

    text: pl.Series
    first: Bytes


def cells(name: str, values: Sequence[msgspec.Raw], *, verbatim: bool = False, whole: bool = False) -> Cells:
    """Each value as text, null for null. `verbatim` keeps strings as in JSON; `whole` writes the number 1.0 as 1, for
    libraries that write whole numbers so."""
    if not values:
        return Cells(pl.Series(name, [], dtype=pl.String), np.zeros(0, dtype=np.uint8))
    blob = b"\n".join(values)
    data = np.frombuffer(blob, dtype=np.uint8)
    begins, ends = _places(data, values)
    first = data[begins]
    nothing = first == NOTHING
    quoted = np.zeros(len(first), dtype=bool) if verbatim else first == QUOTE
    escaped = _escaped(data, begins, quoted) if b"\\" in blob else np.zeros(0, dtype=np.int64)
    kept = np.ones(len(data), dtype=bool)
    kept[ends[:-1]] = False
    kept[begins[quoted]] = False
    kept[ends[quoted] - 1] = False
    if nothing.any():
        kept[(begins[nothing][:, None] + np.arange(4)).ravel()] = False
    lengths = ends - begins - 2 * quoted
    lengths[nothing] = 0
    text = _series(data[kept], lengths, ~nothing)
    if len(escaped):
        written = b",".join([values[place] for place in escaped.tolist()])
        read = _TEXTS.decode(b"[" + written + b"]")
        text = text.scatter(escaped, pl.Series(read, dtype=pl.String))
    if whole and b".0" in blob:
        numbers = pl.Series(first != QUOTE) & text.str.ends_with(".0").fill_null(value=False)
        text = text.zip_with(~numbers, text.str.replace(r"^(-?\d+)\.0$", "$1"))
    return Cells(text.alias(name), first)


def _places(data: Bytes, values: Sequence[msgspec.Raw]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Begin and end of each value in the text of all values joined by line ends."""
    breaks = np.flatnonzero(data == 10)
    if len(breaks) != len(values) - 1:  # some values contain line ends
        lengths = np.fromiter(map(len, values), dtype=np.int64, count=len(values))
        breaks = np.cumsum(lengths + 1)[:-1] - 1
    begins = np.concatenate((np.zeros(1, dtype=np.int64), breaks + 1))
    return begins, np.concatenate((breaks, np.full(1, len(data), dtype=np.int64)))


def _escaped(data: Bytes, begins: npt.NDArray[np.int64], quoted: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    at = np.unique(np.searchsorted(begins, np.flatnonzero(data == ord("\\")), side="right") - 1)
    found: npt.NDArray[np.int64] = at[quoted[at]]
    return found


def _series(body: Bytes, lengths: npt.NDArray[np.int64], there: npt.NDArray[np.bool_]) -> pl.Series:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    valid = None if there.all() else pa.py_buffer(np.packbits(there, bitorder="little"))
    made = pa.LargeStringArray.from_buffers(len(lengths), pa.py_buffer(offsets), pa.py_buffer(body), valid)
    found = pl.from_arrow(made)
    assert isinstance(found, pl.Series)
    return found
