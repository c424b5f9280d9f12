"""Where records end in delimited text: quote parity, newlines and separators as packed bits, a few GB/s.

Bit i of a packed array (little-endian 64-bit words) stands for byte i of the block. A quote toggles "inside quotes";
a newline outside quotes ends a record. That holds for every well-formed file, because a doubled quote toggles twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
BITS = npt.NDArray[np.int64]

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


def shifted(words: Words, carry: int) -> Words:
    """Every bit moved one place later; `carry` (0 or 1) enters at the front."""
    result = words << np.uint64(1)
    result[1:] |= words[:-1] >> np.uint64(63)
    if len(result):
        result[0] |= np.uint64(carry)
    return result


def shifted_back(words: Words) -> Words:
    """Every bit moved one place earlier; 0 enters at the end."""
    result = words >> np.uint64(1)
    result[:-1] |= words[1:] << np.uint64(63)
    return result


def inside_quotes(quotes: Words, parity: int) -> Words:
    """Bits of the bytes behind an odd number of quotes (an opening quote counts as inside, a closing one as not)."""
    inside = quotes.copy()
    for step in (1, 2, 4, 8, 16, 32):
        inside ^= inside << np.uint64(step)
    odd = (inside >> np.uint64(63)).astype(np.uint8)
    before = np.bitwise_xor.accumulate(odd)
    flip = np.empty(len(odd), dtype=bool)
    if len(odd):
        flip[0] = parity == 1
        flip[1:] = (before[:-1] ^ np.uint8(parity)) == 1
    inside[flip] = ~inside[flip]
    return inside


def count(words: Words) -> int:
    """How many bits are set."""
    return int(np.bitwise_count(words).sum())


def counts_before(words: Words, at: BITS) -> BITS:
    """How many bits are set before each of these byte positions, none behind the words' end."""
    sums = np.zeros(len(words) + 1, dtype=np.int64)
    np.cumsum(np.bitwise_count(words), dtype=np.int64, out=sums[1:])
    word = at >> 6
    below = (np.uint64(1) << (at & 63).astype(np.uint64)) - np.uint64(1)
    found: BITS = sums[word] + np.bitwise_count(words[np.minimum(word, len(words) - 1)] & below)
    return found


def places(words: Words, length: int) -> npt.NDArray[np.int64]:
    """Byte positions of the set bits, ascending, below `length`."""
    return np.flatnonzero(np.unpackbits(words.view(np.uint8), count=length, bitorder="little").view(bool))


@dataclass(slots=True)
class Carry:
    """What a block hands to the next one: quote parity, and whether its end is a record's start (or that and a CR)."""

    parity: int = 0
    at_start: int = 1
    return_at_start: int = 0


@dataclass(frozen=True, slots=True)
class Structure:
    """Packed bits of one block: newlines that end a record or a blank line, and those of blank lines alone.

    `inside` is None when the block has no quoted byte.
    """

    ends: Words
    blanks: Words | None
    inside: Words | None
    length: int

    @property
    def records(self) -> int:
        """Records that end in the block."""
        return count(self.ends) - (count(self.blanks) if self.blanks is not None else 0)


def structure(block: bytes, quote: int | None, carry: Carry) -> Structure:
    """Finds the records of a block; moves `carry` on to its end."""
    data = view(block)
    ends = bits_of(data, NEWLINE)
    inside = None
    if quote is not None and (carry.parity or quote.to_bytes(1, "little") in block):
        quotes = bits_of(data, quote)
        inside = inside_quotes(quotes, carry.parity)
        carry.parity = (carry.parity + count(quotes)) & 1
        ends &= ~inside
    starts = shifted(ends, carry.at_start)
    blanks = ends & starts
    last_is_return = 0
    if carry.return_at_start or b"\r" in block:
        returns = bits_of(data, RETURN) & starts
        if inside is not None:
            returns &= ~inside
        blanks |= ends & shifted(returns, carry.return_at_start)
        last_is_return = _bit(returns, len(data) - 1)
    carry.at_start, carry.return_at_start = _bit(ends, len(data) - 1), last_is_return
    return Structure(ends, blanks if blanks.any() else None, inside, len(data))


def _bit(words: Words, place: int) -> int:
    return int(words[place // 64] >> np.uint64(place % 64)) & 1
