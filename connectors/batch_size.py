"""How many rows a batch has: at most so many, and of about BATCH_BYTES, whatever the width of a row is.

A batch is in memory several times at once: as it is read, transformed, encoded, and waiting in between, in each of the
partitions that run at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import TypeVar

Rows = TypeVar("Rows", bound=Sized)

BATCH_BYTES = 16 << 20
"""The approximate size of a batch in bytes, unless a single row is larger."""

_GROWTH = 8


def rows_within(rows: int, size: int, most: int) -> int:
    """How many rows are about BATCH_BYTES where `rows` rows have `size` bytes; at least 1, and at most `most`."""
    return max(1, min(most, BATCH_BYTES * rows // max(1, size)))


def in_batches(parts: Iterable[Rows], size_of: Callable[[Rows], int | float], most: int) -> Iterator[list[Rows]]:
    """Consecutive parts that are together at most `most` rows and about BATCH_BYTES; a part with more is alone."""
    held: list[Rows] = []
    rows, size = 0, 0.0
    for part in parts:
        its_rows, its_size = len(part), size_of(part)
        if held and (rows + its_rows > most or size + its_size > BATCH_BYTES):
            yield held
            held, rows, size = [], 0, 0.0
        held.append(part)
        rows, size = rows + its_rows, size + its_size
    if held:
        yield held


@dataclass(slots=True)
class NextBatch:
    """The rows to read next, where the size of rows is known only once they are read: few at first, then as many as
    the last batch says, and at most eight times as many as that had."""

    most: int
    rows: int = 256

    def __post_init__(self) -> None:
        self.rows = min(self.rows, self.most)

    def had(self, rows: int, size: int) -> None:
        """The last batch had `rows` rows of `size` bytes in all."""
        if rows:
            self.rows = rows_within(rows, size, min(self.most, rows * _GROWTH))
