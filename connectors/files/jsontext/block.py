"""Some consecutive records of a JSON file, as bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np

from headrace.connectors.files.delimited.structure import BITS, line_ends, view

_SPACE = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive records. `end_offset` is the file offset after the block. `marks` are the positions of the line ends
    (`lines`) or commas that end the records."""

    end_offset: int
    text: bytes
    marks: BITS
    lines: bool

    @property
    def rows(self) -> int:
        """The number of records."""
        return len(self.records_at)

    @property
    def records_at(self) -> BITS:
        """The positions where records end; blank lines are not records."""
        if not self.lines:
            return self.marks
        if not self.text:
            return self.marks[:0]
        begins = self.begins(self.marks)
        lengths = self.marks - begins
        blank = (lengths == 0) | ((lengths == 1) & (view(self.text)[np.minimum(begins, len(self.text) - 1)] == 13))
        found: BITS = self.marks[~blank]
        return found

    def begins(self, ends: BITS) -> BITS:
        """The positions where the records begin that end at `ends`, all marks of the block."""
        return np.concatenate((np.zeros(1, dtype=np.int64), ends[:-1] + 1)) if len(ends) else ends

    def parts(self, size: int) -> Iterator[Block]:
        """The block in parts of about `size` bytes."""
        begin, done = 0, 0
        while done < len(self.marks):
            after = max(done + 1, int(np.searchsorted(self.marks, begin + size)))
            marks = self.marks[done:after]
            yield Block(self.end_offset, self.text[begin : marks[-1]], marks - begin, self.lines)
            begin, done = int(marks[-1]) + 1, after

    def records(self) -> list[bytes]:
        """The records, without blanks around them."""
        cuts = np.concatenate((np.full(1, -1, dtype=np.int64), self.marks)).tolist()
        parts = [self.text[begin + 1 : end] for begin, end in pairwise(cuts)]
        if self.lines:
            parts = [part for part in parts if part not in (b"", b"\r")]
        return [part.strip(_SPACE) for part in parts]

    @property
    def plain(self) -> bool:
        """Whether every line begins and ends like an object, so that each is one record: a line end between `}` and `{`
        is never within a value."""
        if not self.lines:
            return True
        data = view(self.text)
        begins, ends = self.begins(self.marks), self.marks
        if b"\r" in self.text:
            ends = ends - ((ends > begins) & (data[np.maximum(ends - 1, 0)] == 13))
        full = ends > begins
        begins, ends = begins[full], ends[full]
        return bool((data[begins] == ord("{")).all() and (data[ends - 1] == ord("}")).all())


_ENCODER = msgspec.json.Encoder(decimal_format="number")


def block_of_lines(records: Sequence[Mapping[str, Any]], end_offset: int) -> Block:
    """Records of another format, written as JSON lines; an empty text becomes null, as in CSV."""
    # Quotes within a text are escaped, so these bytes occur only where a value is an empty text.
    text = _ENCODER.encode_lines(records).replace(b':""', b":null")
    return Block(end_offset, text, line_ends(text), lines=True)
