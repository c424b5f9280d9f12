"""Finds the elements of many documents in parallel: the first of each, then the second of each, and so on.

Documents of one collection mostly have the same key in the same place, so that keys are compared with the few
that were seen rather than looked up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from headrace.connectors.mongodb.bson.layout import Buffer, Kind, Malformed, Places

BLOCK = 8192
"""Documents per pass: their bytes stay in the processor's cache."""
_TRIED = 16
"""Keys that are compared per step before the remaining elements are sorted instead."""

_FIXED = np.full(256, -1, dtype=np.int64)
for _kind, _size in (
    *((Kind.DOUBLE, 8), (Kind.UNDEFINED, 0), (Kind.OBJECT_ID, 12), (Kind.BOOL, 1), (Kind.DATE, 8), (Kind.NULL, 0)),
    *((Kind.INT32, 4), (Kind.TIMESTAMP, 8), (Kind.INT64, 8), (Kind.DECIMAL, 16), (Kind.MIN_KEY, 0), (Kind.MAX_KEY, 0)),
):
    _FIXED[_kind] = _size
_MORE = np.full(256, -1, dtype=np.int64)
"""For types that begin with a length: the bytes to add to it."""
for _kind, _size in (
    *((Kind.STRING, 4), (Kind.CODE, 4), (Kind.SYMBOL, 4), (Kind.BINARY, 5), (Kind.DB_POINTER, 16)),
    *((Kind.DOCUMENT, 0), (Kind.ARRAY, 0), (Kind.CODE_WITH_SCOPE, 0)),
):
    _MORE[_kind] = _size
_LEAST = np.zeros(256, dtype=np.int64)
"""The minimal length: a text has a zero after it, a document a length and an end."""
_LEAST[[Kind.STRING, Kind.CODE, Kind.SYMBOL, Kind.DB_POINTER]] = 1
_LEAST[[Kind.DOCUMENT, Kind.ARRAY]] = 5
_LEAST[Kind.CODE_WITH_SCOPE] = 14


@dataclass(frozen=True, slots=True)
class Run:
    """Elements as arrays: document, type, start of the value and its number of bytes. `name` is the number of their
    key, or one number per element."""

    name: int | Places
    parent: Places
    kind: npt.NDArray[np.uint8]
    at: Places
    size: Places


class Names:
    """Keys by number, as bytes."""

    def __init__(self) -> None:
        self.known: list[bytes] = []
        self._numbers: dict[bytes, int] = {}

    def number(self, name: bytes) -> int:
        """The number of a key; new keys get a new number."""
        found = self._numbers.get(name)
        if found is None:
            found = self._numbers[name] = len(self.known)
            self.known.append(name)
        return found


def documents(buffer: Buffer) -> Places:
    """The start of each consecutive document, and the end of the last. Raises Malformed."""
    at, end, starts = 0, buffer.size, [0]
    lengths = buffer.data.data
    while at < end:
        at += int.from_bytes(lengths[at : at + 4], "little")
        if at <= starts[-1] + 4 or at > end:
            raise Malformed("a document's length is not its own")
        starts.append(at)
    return np.array(starts, dtype=np.int64)


def walk(buffer: Buffer, starts: Places, names: Names) -> Iterator[Run]:
    """The elements of the documents that begin at these places, in the order of each document. Raises Malformed."""
    ends = starts + buffer.int32(starts) - 1
    if len(starts) and ((ends < starts + 4).any() or (ends >= buffer.size).any() or buffer.data[ends].any()):
        raise Malformed("a document does not end where it says")
    for first in range(0, len(starts), BLOCK):
        last = min(first + BLOCK, len(starts))
        yield from _block(buffer, starts[first:last] + 4, ends[first:last], first, names)


def _block(buffer: Buffer, at: Places, ends: Places, first: int, names: Names) -> Iterator[Run]:
    parent = np.arange(first, first + len(at), dtype=np.int64)
    while len(at):
        open_ = at < ends
        if not open_.all():
            if (at > ends).any():
                raise Malformed("an element ends after its document")
            at, ends, parent = at[open_], ends[open_], parent[open_]
            continue
        kinds = buffer.data[at]
        after = np.empty_like(at)
        for which, name, begins in _keys(buffer, at + 1, names):
            some = slice(None) if len(which) == len(at) else which
            sizes = _sizes(buffer, kinds[some], begins)
            if (sizes < 0).any() or (begins + sizes > ends[some]).any():
                raise Malformed("an element ends after its document, or has an unknown type")
            after[some] = begins + sizes
            yield Run(name, parent[some], kinds[some], begins, sizes)
        at = after


def _keys(buffer: Buffer, at: Places, names: Names) -> Iterator[tuple[Places, int | Places, Places]]:
    """(which elements, their key's number, where their values begin), of keys that begin at these places."""
    left = np.arange(len(at), dtype=np.int64)
    for _ in range(_TRIED):
        name = _name(buffer, int(at[left[0]]))
        same = _equal(buffer, at[left], name)
        if same.all():
            yield left, names.number(name), at[left] + len(name) + 1
            return
        found = left[same]
        yield found, names.number(name), at[found] + len(name) + 1
        left = left[~same]
    ends = zeros_after(buffer, at[left])
    texts = buffer.binary(at[left], ends - at[left])
    once = texts.unique(maintain_order=True)
    numbers = pl.DataFrame({"name": once, "number": [names.number(each) for each in once.to_list()]})
    joined = texts.alias("name").to_frame().join(numbers, on="name", how="left", maintain_order="left")
    yield left, joined.get_column("number").to_numpy().astype(np.int64), ends + 1


def _name(buffer: Buffer, begin: int) -> bytes:
    end = begin
    data = buffer.data
    while True:
        zeros = np.flatnonzero(data[end : end + 64] == 0)
        if len(zeros):
            return data[begin : end + int(zeros[0])].tobytes()
        end += 64
        if end > len(data):
            raise Malformed("a key does not end")


def _equal(buffer: Buffer, at: Places, name: bytes) -> npt.NDArray[np.bool_]:
    """Whether the bytes at each place are the name and the zero after it."""
    text = name + b"\0"
    same = np.ones(len(at), dtype=bool)
    for place in range(0, len(text), 8):
        piece = text[place : place + 8]
        inside = at + place if place < 24 else np.minimum(at + place, len(buffer.data) - 8)
        word = buffer.read("<u8", inside).astype(np.uint64)
        if len(piece) < 8:
            word = word & np.uint64((1 << (8 * len(piece))) - 1)
        same &= word == np.uint64(int.from_bytes(piece, "little"))
    return same


def zeros_after(buffer: Buffer, at: Places) -> Places:
    """The next zero at or after each place."""
    low, high = int(at.min()), int(at.max())
    zeros = np.flatnonzero(buffer.data[low : high + (1 << 16)] == 0) + low
    if not len(zeros) or zeros[-1] < high:
        zeros = np.flatnonzero(buffer.data[low:] == 0) + low
    return zeros[np.searchsorted(zeros, at)]


def _sizes(buffer: Buffer, kinds: npt.NDArray[np.uint8], at: Places) -> Places:
    """The size of each value in bytes; negative for an unknown type."""
    first = int(kinds[0])
    if (kinds == first).all():
        return _size_of(buffer, first, at)
    sizes = np.empty_like(at)
    for kind in np.unique(kinds):
        which = kinds == kind
        sizes[which] = _size_of(buffer, int(kind), at[which])
    return sizes


def _size_of(buffer: Buffer, kind: int, at: Places) -> Places:
    if _FIXED[kind] >= 0:
        return np.full(len(at), _FIXED[kind], dtype=np.int64)
    if _MORE[kind] >= 0:
        lengths = buffer.int32(at)
        return np.where(lengths < _LEAST[kind], -1, lengths + _MORE[kind])
    if kind == Kind.REGEX:
        second = zeros_after(buffer, at) + 1
        return zeros_after(buffer, second) + 1 - at
    return np.full(len(at), -1, dtype=np.int64)
