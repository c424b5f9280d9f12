"""Payloads as one text with known ends, and payloads of several lines as their lines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headrace.connectors.files.jsontext.block import Block
from headrace.connectors.messages.messages import Places


def lines_of(values: Sequence[bytes]) -> tuple[list[bytes], Places]:
    """The non-blank lines of all payloads, and for each line the index of its payload. A payload of blank lines only is
    one empty line, so that it is not lost."""
    split = [[line for line in value.split(b"\n") if line.strip()] or [b""] for value in values]
    counts = np.fromiter(map(len, split), dtype=np.int64, count=len(split))
    return [line for lines in split for line in lines], np.repeat(np.arange(len(split), dtype=np.int64), counts)


def block_of(values: Sequence[bytes]) -> Block:
    """Records as a block in which each is one record, with any line ends in it; an empty one is none."""
    lengths = np.fromiter(map(len, values), dtype=np.int64, count=len(values))
    return Block(0, b"\n".join(values), np.cumsum(lengths + 1) - 1, lines=True)
