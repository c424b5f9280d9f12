"""Quotes that are where no quote may be: in the middle of a plain field, or before the end of a quoted one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from connectors.files.delimited.dialect import Dialect
from connectors.files.delimited.structure import (
    BITS,
    NEWLINE,
    RETURN,
    Carry,
    bits_of,
    inside_quotes,
    places,
    shifted,
    shifted_back,
    structure,
    view,
)
from connectors.files.streams import ByteStream

_BLOCK = 4 << 20


def misplaced(block: bytes, quote: int, delimiter: int) -> npt.NDArray[np.int64]:
    """Positions of the misplaced quotes of a block that starts at a record.

    An opening quote must follow a separator, a newline or another quote (a doubled one); a closing quote must precede
    a separator, the end of the line or another quote.
    """
    data = view(block)
    quotes = bits_of(data, quote)
    inside = inside_quotes(quotes, 0)
    newlines = bits_of(data, NEWLINE)
    edges = bits_of(data, delimiter) | newlines | quotes
    wrong = quotes & inside & ~shifted(edges, 1)
    if b"\r" in block:
        edges |= bits_of(data, RETURN) & shifted_back(newlines)
    follows = shifted_back(edges)
    if len(data) and data[-1] == quote:
        follows[-1] |= np.uint64(1 << ((len(data) - 1) % 64))
    wrong |= quotes & ~inside & ~follows
    return places(wrong, len(data)) if wrong.any() else np.empty(0, dtype=np.int64)


def first_suspect_quote(stream: ByteStream, start: int, dialect: Dialect) -> int | None:
    """The row (from 1) of the first misplaced quote, else of the last one opened, in a file that ends inside quotes."""
    quote = dialect.quote_byte
    assert quote is not None
    carry = Carry()
    position, rows, opened = start, 0, None
    while block := stream.read_at(position, _BLOCK):
        parity = carry.parity
        shape = structure(block, quote, carry)
        ends = places(shape.ends, len(block))
        blanks = places(shape.blanks, len(block)) if shape.blanks is not None else ends[:0]
        quotes = places(bits_of(view(block), quote), len(block))

        def row_of(place: int, ends: BITS = ends, blanks: BITS = blanks, rows: int = rows) -> int:
            return rows + int(np.searchsorted(ends, place) - np.searchsorted(blanks, place)) + 1

        if len(quotes):
            # A quote in front restores the block's parity, so that opening and closing are told apart.
            padded = bytes([quote]) + block if parity else block
            wrong = misplaced(padded, quote, ord(dialect.delimiter)) - parity
            wrong = wrong[(wrong > 0) & (wrong < len(block) - 2)]
            if len(wrong):
                return row_of(int(wrong[0]))
            opening = quotes[parity::2]
            if len(opening):
                opened = row_of(int(opening[-1]))
        rows += shape.records
        position += len(block)
    return opened
