"""Whether a file is in the encoding that was given for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from headrace.connectors.files.delimited.dialect import Dialect, bad_encoding
from headrace.connectors.files.delimited.encoding import byte_in_file, invalid_offsets, is_utf8
from headrace.connectors.files.delimited.structure import BITS, Structure, places

_LONG_LINE = 1 << 20
_BAD_SHARE = 1000  # one invalid row in a thousand is a wrong encoding, one in a million a broken row


@dataclass(slots=True)
class EncodingCheck:
    """Distinguishes a file in the wrong encoding from one with a few broken rows."""

    dialect: Dialect
    _tail: bytes = field(default=b"", init=False)
    _other_alphabets: bool = field(default=False, init=False)
    _bad_rows: int = field(default=0, init=False)
    _first: tuple[int, int, int, str] | None = field(default=None, init=False)
    """Of the first invalid byte: offset, row, the byte, the codec."""

    def feed(self, block: bytes, position: int, rows: int, shape: Structure) -> None:
        """Looks at a block at this position, after so many rows."""
        if block.isascii() and not self._tail:
            return
        text, offset = self._tail + block, position - len(self._tail)
        cut = text.rfind(self.dialect.eol) + 1
        text, self._tail = text[:cut], b"" if text[cut:].isascii() else text[cut:]
        if len(self._tail) > _LONG_LINE:
            self._tail = b""  # such a long line is checked when it is read
        ends: BITS | None = None

        def row_of(place: int) -> int:
            nonlocal ends
            ends = places(shape.ends, len(block)) if ends is None else ends
            at = int(np.searchsorted(ends, place - position)) - 1
            return rows + (shape.records_to(ends, at) if at >= 0 else 0) + 1

        self._check(text, offset, row_of)

    def end(self, rows: int, position: int) -> None:
        """Looks at what is left at the end."""
        self._check(self._tail, position - len(self._tail), lambda place: rows)
        self._tail = b""

    def add(self, later: EncodingCheck, rows: int) -> None:
        """Adds what was found after these rows."""
        self._other_alphabets |= later._other_alphabets
        self._bad_rows += later._bad_rows
        if self._first is None and later._first is not None:
            offset, row, byte, codec = later._first
            self._first = offset, row + rows, byte, codec

    def conclude(self, name: str, rows: int) -> None:
        """Raises SourceError(`bad_encoding`) if the file of so many rows is in another encoding."""
        if self._first and not self._other_alphabets and self._bad_rows * _BAD_SHARE > rows:
            raise bad_encoding(name, *self._first)

    def _check(self, text: bytes, offset: int, row_of: Callable[[int], int]) -> None:
        if text.isascii():
            return
        if is_utf8(text):
            self._other_alphabets = True
            return
        try:
            text.decode()
        except UnicodeDecodeError as error:
            self._other_alphabets |= not text.decode(errors="ignore").isascii()
            if self._first is None:
                codec, byte = byte_in_file(text, error.start, self.dialect.encoding)
                self._first = (offset + error.start, row_of(offset + error.start), byte, codec)
            self._bad_rows += len(invalid_offsets(text, self.dialect.eol))
