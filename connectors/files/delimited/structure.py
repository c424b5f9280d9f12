"""Positions in delimited text (quotes, line ends, separators) as packed bits, at a few GB/s.

Bit i of a packed array (little-endian 64-bit words) represents byte i of the block. A block starts at a record. A quote
opens a quoted field only at the begin of a field, and closes it only at its end (RFC 4180). If all quotes of a block
are in such places, each toggles "inside quotes", because a doubled quote toggles twice; other blocks are resolved in
`quoting`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
BITS = npt.NDArray[np.int64]
NO_POSITIONS: BITS = np.empty(0, dtype=np.int64)

NEWLINE, RETURN = 10, 13
_PIECE = 1 << 18  # compares stay in cache


def view(block: bytes | bytearray | memoryview) -> Bytes:
    """The block as an array of bytes, without a copy."""
    return np.frombuffer(block, dtype=np.uint8)


def bits_of(data: Bytes, value: int) -> Words:
    """Packed bits of `data == value`, padded with zeros to whole words."""
    words = np.zeros((len(data) + 63) // 64, dtype=np.uint64)
    packed = words.view(np.uint8)
    for start in range(0, len(data), _PIECE):
        piece = np.packbits(data[start : start + _PIECE] == value, bitorder="little")
        packed[start // 8 : start // 8 + len(piece)] = piece
    return words


def line_ends(block: bytes) -> BITS:
    """The positions of all line ends."""
    data = view(block)
    found = [np.flatnonzero(data[begin : begin + _PIECE] == NEWLINE) + begin for begin in range(0, len(data), _PIECE)]
    return np.concatenate(found) if found else NO_POSITIONS


def shifted(words: Words, carry: int) -> Words:
    """Every bit moved one position later; `carry` (0 or 1) enters at the front."""
    result = words << np.uint64(1)
    result[1:] |= words[:-1] >> np.uint64(63)
    if len(result):
        result[0] |= np.uint64(carry)
    return result


def shifted_back(words: Words) -> Words:
    """Every bit moved one position earlier; 0 enters at the end."""
    result = words >> np.uint64(1)
    result[:-1] |= words[1:] << np.uint64(63)
    return result


def inside_quotes(quotes: Words, parity: int) -> Words:
    """The bits of bytes after an odd number of quotes (an opening quote counts as inside, a closing one does not)."""
    inside, spare = quotes.copy(), np.empty_like(quotes)
    for step in (1, 2, 4, 8, 16, 32):
        np.left_shift(inside, np.uint64(step), out=spare)
        np.bitwise_xor(inside, spare, out=inside)
    np.right_shift(inside, np.uint64(63), out=spare)  # whether each word has an odd number of quotes
    flip = np.full_like(spare, parity)
    flip[1:] ^= np.bitwise_xor.accumulate(spare)[:-1]
    inside ^= np.negative(flip, out=flip)  # all bits of a word, or none
    return inside


def count(words: Words) -> int:
    """The number of set bits."""
    return int(np.bitwise_count(words).sum())


def counts_before(words: Words, at: BITS) -> BITS:
    """The number of bits set before each of these byte positions, which must not be past the end."""
    sums = np.zeros(len(words) + 1, dtype=np.int64)
    np.cumsum(np.bitwise_count(words), dtype=np.int64, out=sums[1:])
    word = at >> 6
    below = (np.uint64(1) << (at & 63).astype(np.uint64)) - np.uint64(1)
    found: BITS = sums[word] + np.bitwise_count(words[np.minimum(word, len(words) - 1)] & below)
    return found


def places(words: Words, length: int) -> npt.NDArray[np.int64]:
    """Byte positions of the set bits, ascending, below `length`."""
    return np.flatnonzero(np.unpackbits(words.view(np.uint8), count=length, bitorder="little").view(bool))


def nth_places(words: Words, numbers: BITS) -> BITS:
    """Byte positions of the set bits with these numbers (from 0, each below the number of set bits). Only the words
    that hold them are unpacked."""
    after: BITS = np.cumsum(np.bitwise_count(words), dtype=np.int64)
    at = np.searchsorted(after, numbers, side="right")
    bits = np.unpackbits(words[at].view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
    within = numbers - after[at] + np.bitwise_count(words[at])
    found: BITS = at * 64 + (np.cumsum(bits, axis=1, dtype=np.int64) > within[:, None]).argmax(axis=1)
    return found


def last_bit(words: Words) -> int:
    """The position of the last set bit, -1 if there is none."""
    set_words = np.flatnonzero(words)
    if not len(set_words):
        return -1
    return int(set_words[-1]) * 64 + int(words[set_words[-1]]).bit_length() - 1


@dataclass(frozen=True, slots=True)
class Marks:
    """The bytes with a meaning: the delimiter, the quote (None: quotes have no meaning), and the line end."""

    delimiter: int
    quote: int | None
    eol: int = NEWLINE

    @property
    def unquoted(self) -> Marks:
        """The same without quotes."""
        return Marks(self.delimiter, None, self.eol)


@dataclass(frozen=True, slots=True)
class Structure:
    """Packed bits of one block: line ends that end a record or blank line (`ends`), and those of blank lines
    (`blanks`).

    `inside` is None if no byte of the block is quoted. `whole` is the end of the last whole record. `stray` are the
    positions of quotes that neither open nor close a field, nor are doubled in a quoted one; `unclosed` those of quotes
    that open a field that is never closed, whose record ends with its line.
    """

    ends: Words
    blanks: Words | None
    inside: Words | None
    length: int
    whole: int
    unended: int = 0
    """1 if the last record has no line end, which only the last record of a file may lack."""
    delimiters: Words | None = None
    """Delimiters, quoted ones too; None if they were not looked for."""
    stray: BITS = field(default_factory=lambda: NO_POSITIONS)
    unclosed: BITS = field(default_factory=lambda: NO_POSITIONS)

    @property
    def records(self) -> int:
        """The number of records in `whole`."""
        found = count(self.ends) - (count(self.blanks) if self.blanks is not None else 0)
        return found + self.unended

    def records_to(self, ends: BITS, at: int) -> int:
        """The number of records up to the line end with this number in `ends`, the places of all of them."""
        if self.blanks is None:
            return at + 1
        blanks = places(self.blanks, self.length)
        return at + 1 - int(np.searchsorted(blanks, ends[at], side="right"))

    @property
    def faulty(self) -> bool:
        """Whether there are misplaced quotes."""
        return len(self.stray) + len(self.unclosed) > 0

    @property
    def quoted(self) -> bool:
        """Whether quotes are relevant."""
        return self.inside is not None

    def first(self, length: int) -> Structure:
        """The structure of the first `length` bytes, which end with a record."""
        words = (length + 63) // 64
        parts = (self.blanks, self.inside, self.delimiters)
        blanks, inside, delimiters = (None if part is None else part[:words] for part in parts)
        if delimiters is not None and length % 64:  # no bit after `length`, as everywhere
            delimiters = delimiters.copy()
            delimiters[-1] &= np.uint64((1 << length % 64) - 1)
        stray, unclosed = self.stray[self.stray < length], self.unclosed[self.unclosed < length]
        return Structure(self.ends[:words], blanks, inside, length, length, 0, delimiters, stray, unclosed)

    def separators(self, block: bytes, delimiter: int) -> Words:
        """The delimiters between fields of the block."""
        found = bits_of(view(block), delimiter) if self.delimiters is None else self.delimiters
        return found if self.inside is None else found & ~self.inside
