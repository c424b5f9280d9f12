"""The elements of a JSON array of any size, read in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from headrace.connectors.errors import SourceError
from headrace.connectors.files.delimited.records import RECORD_LIMIT
from headrace.connectors.files.delimited.structure import BITS, Words, bits_of, inside_quotes, places, view
from headrace.connectors.files.jsontext.block import Block
from headrace.connectors.files.streams import ByteStream

COMMA = ord(",")
_OPEN, _CLOSE, _CASE = ord("{"), ord("}"), np.uint8(32)
"""`[` and `]` differ from `{` and `}` by one bit."""


class Nesting(NamedTuple):
    """`at` are the positions of brackets and commas outside of strings; `depth` is the nesting depth after each, 0 at
    the begin of the block; `comma` marks the commas."""

    at: BITS
    depth: BITS
    comma: BITS

    def commas(self) -> BITS:
        """The positions of top-level commas."""
        found: BITS = self.at[(self.depth == 0) & (self.comma == 1)]
        return found

    def closed(self, depth: int) -> int:
        """The position of the first bracket that leads to this depth; -1 if there is none."""
        found = np.flatnonzero((self.depth == depth) & (self.comma == 0))
        return int(self.at[found[0]]) if len(found) else -1


def nesting(block: bytes) -> Nesting:
    """The nesting of a block that begins outside of a string. Text after an unterminated string is ignored."""
    data = view(block)
    quotes = bits_of(data, ord('"'))
    if b"\\" in block:
        quotes = _unescaped(block, quotes)
    folded = data | _CASE
    commas = bits_of(data, COMMA)
    opens, closes = bits_of(folded, _OPEN), bits_of(folded, _CLOSE)
    outside = ~inside_quotes(quotes, 0)
    at = places((opens | closes | commas) & outside, len(block))
    marks = folded[at]
    step = (marks == _OPEN).astype(np.int64) - (marks == _CLOSE)
    return Nesting(at, np.cumsum(step), (step == 0).astype(np.int64))


def _unescaped(block: bytes, quotes: Words) -> Words:
    """The quotes without escaped ones. The loop runs once per backslash of the longest run."""
    data = view(block)
    at = places(quotes, len(block))
    left = at[(at > 0)]
    left = left[data[left - 1] == ord("\\")]
    odd = np.zeros(len(block), dtype=bool)
    run = 1
    while len(left):
        odd[left] = run % 2 == 1
        run += 1
        left = left[left >= run]
        left = left[data[left - run] == ord("\\")]
    bits = np.zeros(len(quotes) * 64, dtype=bool)
    bits[: len(block)] = odd
    return quotes & ~np.packbits(bits, bitorder="little").view(np.uint64)


_SPACE = b" \t\r\n"


def element_blocks(
    stream: ByteStream, start: int, end: int | None, size: int, *, limit: int = RECORD_LIMIT
) -> Iterator[Block]:
    """Blocks of whole elements from `start`, the begin of one, to `end`, the end of one. `end` None: to the end of the
    array, whose offset is `end_offset` of the last block, which may be empty. Raises SourceError: `cut_off`,
    `record_too_large`."""
    position = start
    while end is None or position < end:
        block = _element_block(stream, position, end, size, limit)
        position = abs(block.end_offset)
        ended = block.end_offset < 0
        if block.rows or ended:
            yield Block(position, block.text, block.marks, lines=False)
        stream.release(position)
        if ended:
            return


def _element_block(stream: ByteStream, start: int, end: int | None, size: int, limit: int) -> Block:
    """One block; `end_offset` is negative if the array ends with it."""
    size = min(size, limit)
    while True:
        wanted = size if end is None else min(size, end - start)
        text = stream.read_at(start, wanted)
        last = end is not None and start + wanted >= end
        found = nesting(text)
        commas = found.commas()
        closed = found.closed(-1) if end is None else -1
        if closed >= 0:
            commas = commas[commas < closed]
            rest = text[int(commas[-1]) + 1 if len(commas) else 0 : closed].strip(_SPACE)
            marks = np.append(commas, closed) if rest or len(commas) else commas
            return Block(-(start + closed), text[:closed], marks, lines=False)
        if last:
            stripped = text.rstrip(_SPACE)
            if not stripped:
                return Block(start + wanted, b"", commas, lines=False)
            if len(commas) and commas[-1] == len(stripped) - 1:
                return Block(start + wanted, text[: commas[-1]], commas, lines=False)
            return Block(start + wanted, text, np.append(commas, len(text)), lines=False)
        if len(commas):
            return Block(start + int(commas[-1]) + 1, text[: commas[-1]], commas, lines=False)
        if len(text) < wanted:
            raise SourceError(
                "cut_off",
                f"It is cut off: the array has no end. The last element begins at byte {start}.",
                "Send it again, or compare it with the original.",
            )
        if size >= limit:
            raise SourceError(
                "record_too_large",
                f"The element at byte {start} is longer than {limit >> 20} MB.",
                "Set options.path to the array whose elements are the rows.",
            )
        size = min(size * 4, limit)
