"""Decodes messages of pgoutput (protocol version 1) as columns, without a loop over rows.

The server gives each message as one row of a binary COPY. All fields are read at once with index arithmetic: the loop
is over the columns of a tuple, whose values begin at another place in each row. Only messages that describe a table,
or truncate it, are read one by one: a session sends few of them. See "Logical Replication Message Formats" in
PostgreSQL's documentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from headrace.connectors.errors import SourceError
from headrace.connectors.sql.postgresql.copying import Rows

Ints = np.ndarray[Any, np.dtype[np.int64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]

_FIELD = 6
"""Bytes before the value of a row with one field: the number of fields, and the value's size."""
_B, _C, _R, _I, _U, _D, _T = (ord(kind) for kind in "BCRIUDT")
_OLD_KEY, _OLD_ROW, _NEW = (ord(kind) for kind in "KON")
_TEXT, _UNCHANGED = ord("t"), ord("u")
_EPOCH_US = 946_684_800_000_000
"""2000-01-01 in microseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The table as the following changes have it. `key` are the columns of its replica identity."""

    columns: tuple[str, ...]
    key: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tuples:
    """Row images of consecutive changes: of each column where its text begins in the messages, its size in bytes
    (-1: null), and whether it is left out because the change left it as it was."""

    starts: Ints
    sizes: Ints
    unchanged: Mask
    ends: Ints

    def chosen(self, rows: Mask | Ints) -> Tuples:
        """Some of the rows."""
        return Tuples(self.starts[:, rows], self.sizes[:, rows], self.unchanged[:, rows], self.ends[rows])


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes of one kind (`I`, `U`, `D`) with one layout. `place` numbers the messages of a piece. `old` is the row
    before, of which only the key is known unless `whole_old`; it is meaningful where `has_old`."""

    kind: str
    layout: Layout
    place: Ints
    new: Tuples | None
    old: Tuples | None
    has_old: Mask
    whole_old: Mask


@dataclass(frozen=True, slots=True)
class Transactions:
    """Those that begin in a piece, or were open before it, in their order: the message where each begins (-1: in an
    earlier piece) and that after its end (the number of messages: in a later one)."""

    first: Ints
    past: Ints
    commit: Ints
    """The LSN of the commit."""
    end: Ints
    """The LSN after the commit; 0 while it is not known."""
    xid: Ints
    at: Ints
    """The time of the commit in microseconds since 1970."""
    before: Ints
    """With the difference to `first` it is the number of a message in its transaction."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The changes of one table in some messages."""

    messages: pl.Series
    """Of Binary: each row with its header."""
    begins: Ints
    """Where each begins in the bytes that `Tuples` count in."""
    transactions: Transactions
    changes: Sequence[Changes]
    truncates: Ints
    """The messages that truncate the table."""


@dataclass(slots=True)
class Decoder:
    """Decodes the messages of one reading, in order. `table` is the oid of the table whose changes are wanted."""

    table: int
    _layout: Layout | None = field(default=None, init=False)
    _open: tuple[int, int, int] | None = field(default=None, init=False)
    """Commit LSN, transaction id and time of the transaction that is not complete yet."""
    _before: int = field(default=0, init=False)
    """The number of its messages so far."""

    def piece(self, rows: Rows) -> Piece:
        """Raises SourceError for messages that are none of pgoutput's."""
        data, at = rows.bytes, rows.ends - rows.sizes + _FIELD
        try:
            kinds = data[at]
            return Piece(
                _messages(rows),
                rows.ends - rows.sizes,
                self._transactions(data, at, kinds),
                tuple(self._changes(data, at, kinds)),
                self._truncates(data, at, kinds, rows.ends),
            )
        except (IndexError, ValueError, OverflowError):  # a place behind the end, a name without one
            raise _not_understood() from None

    def _transactions(self, data: Bytes, at: Ints, kinds: Bytes) -> Transactions:
        begins, ends = np.flatnonzero(kinds == _B), np.flatnonzero(kinds == _C)
        commit, time, xid = (
            _big(data, at[begins] + 1, 8),
            _big(data, at[begins] + 9, 8) + _EPOCH_US,
            _big(data, at[begins] + 17, 4),
        )
        first, past = begins.astype(np.int64), ends.astype(np.int64) + 1
        end = _big(data, at[ends] + 10, 8)
        if self._open is not None:
            first = np.concatenate([[-1], first])
            commit, xid, time = (np.concatenate([[known], found]) for known, found in
                                 zip(self._open, (commit, xid, time), strict=True))  # fmt: skip
        if len(first) - len(past) not in (0, 1):
            raise _not_understood()
        before = np.zeros(len(first), np.int64)
        if self._open is not None:
            before[0] = self._before - 1  # `first` is -1
        self._open = None
        if len(first) > len(past):
            past, end = np.append(past, len(kinds)), np.append(end, 0)
            self._open = int(commit[-1]), int(xid[-1]), int(time[-1])
            self._before = int(before[-1] + len(kinds) - first[-1])
        return Transactions(first, past, commit, end, xid, time, before)

    def _changes(self, data: Bytes, at: Ints, kinds: Bytes) -> Iterator[Changes]:
        places = np.flatnonzero(np.isin(kinds, (_I, _U, _D)))
        places = places[_big(data, at[places] + 1, 4) == self.table]
        tables = np.flatnonzero(kinds == _R)
        tables = tables[_big(data, at[tables] + 1, 4) == self.table]
        edges = [0, *tables.tolist(), len(kinds)]
        for low, high in pairwise(edges):
            if low < len(kinds) and kinds[low] == _R and low in tables:
                self._layout = _layout(data[at[low] :])
            some = places[(places >= low) & (places < high)]
            if some.size and self._layout is None:
                raise _not_understood()
            for kind in (_I, _U, _D):
                those = some[kinds[some] == kind]
                if those.size and self._layout is not None:
                    yield _changes_of(data, at[those], those.astype(np.int64), kind, self._layout)

    def _truncates(self, data: Bytes, at: Ints, kinds: Bytes, ends: Ints) -> Ints:
        found = []
        for place in np.flatnonzero(kinds == _T).tolist():
            begin = int(at[place])
            count = int(_big(data, np.array([begin + 1]), 4)[0])
            if begin + 6 + 4 * count > ends[place]:
                raise _not_understood()
            if (_big(data, begin + 6 + 4 * np.arange(count), 4) == self.table).any():
                found.append(place)
        return np.array(found, dtype=np.int64)


def _changes_of(data: Bytes, at: Ints, places: Ints, kind: int, layout: Layout) -> Changes:
    """Inserts, updates or deletes. After the table's oid there is the old key (`K`) or the old row (`O`), if it is
    known, and the new row (`N`), if there is one."""
    width, first = len(layout.columns), data[at + 5]
    whole_old, has_old = first == _OLD_ROW, (first == _OLD_ROW) | (first == _OLD_KEY)
    old = new = None
    after = at + 5
    if has_old.any():
        known = _tuples(data, after[has_old] + 1, width)
        old = _spread(known, has_old, width)
        after = np.where(has_old, old.ends, after)
    if kind != _D:
        if (data[after] != _NEW).any():
            raise _not_understood()
        new = _tuples(data, after + 1, width)
    elif not has_old.all():
        raise _not_understood()
    return Changes(chr(kind), layout, places, new, old, has_old, whole_old)


def _tuples(data: Bytes, at: Ints, width: int) -> Tuples:
    """The row images that begin at these bytes."""
    if at.size and (_big(data, at, 2) != width).any():
        raise _not_understood()
    starts = np.zeros((width, at.size), np.int64)
    sizes = np.full((width, at.size), -1, np.int64)
    unchanged = np.zeros((width, at.size), np.bool_)
    at = at + 2
    for column in range(width):
        kind = data[at]
        there = kind == _TEXT
        size = np.where(there, _big(data, np.where(there, at + 1, 0), 4), -1)
        starts[column], sizes[column], unchanged[column] = at + 5, size, kind == _UNCHANGED
        at = at + 1 + np.where(there, 4 + size, 0)
    return Tuples(starts, sizes, unchanged, at)


def _spread(known: Tuples, rows: Mask, width: int) -> Tuples:
    """The row images at the places of `rows`, and nulls at the others."""
    if rows.all():
        return known
    spread = Tuples(
        np.zeros((width, rows.size), np.int64),
        np.full((width, rows.size), -1, np.int64),
        np.zeros((width, rows.size), np.bool_),
        np.zeros(rows.size, np.int64),
    )
    spread.starts[:, rows], spread.sizes[:, rows] = known.starts, known.sizes
    spread.unchanged[:, rows], spread.ends[rows] = known.unchanged, known.ends
    return spread


def _layout(message: Bytes) -> Layout:
    """The columns of a table."""
    text = message[: 1 << 20].tobytes()
    at = text.index(b"\0", 5) + 1
    at = text.index(b"\0", at) + 1
    count, at = int.from_bytes(text[at + 1 : at + 3], "big"), at + 3
    columns, key = [], []
    for _ in range(count):
        end = text.index(b"\0", at + 1)
        columns.append(text[at + 1 : end].decode())
        if text[at] & 1:
            key.append(columns[-1])
        at = end + 9
    return Layout(tuple(columns), tuple(key))


def _messages(rows: Rows) -> pl.Series:
    offsets = np.concatenate([[0], rows.ends]).astype(np.int64)
    cells = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(rows.ends), [None, pa.py_buffer(offsets), pa.py_buffer(rows.bytes)]
    )
    series = pl.from_arrow(cells)
    assert isinstance(series, pl.Series)
    return series


def _big(data: Bytes, at: Ints, size: int) -> Ints:
    """Numbers of `size` bytes, the first of which is the most significant."""
    found = np.zeros(np.shape(at), np.int64)
    for place in range(size):
        found = (found << 8) | data[at + place]
    return found


def _not_understood() -> SourceError:
    return SourceError(
        "query_failed", "The slot's messages are not those of pgoutput's protocol version 1.", "Is the slot another's?"
    )
