"""Cuts events into batches at the ends of transactions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from headrace.connectors.batch_size import BATCH_BYTES, rows_within
from headrace.connectors.sql.postgresql.changes.events import TRANSACTION
from headrace.connectors.sql.postgresql.changes.pgoutput import Ints, Transactions

COMMIT, XID, AT = "#commit", "#xid", "#at"
"""Columns of an event: the LSN of its commit, its transaction's 32-bit id, and the time of the commit in microseconds
since 1970."""

MOST_ROWS, MOST_BYTES = 200_000, 4 * BATCH_BYTES
"""A transaction with more events is given in parts."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Some events, and where reading goes on: `rows` events after the LSN."""

    events: pl.DataFrame
    lsn: int
    rows: int


@dataclass(slots=True)
class Batches:
    """Events that wait for the end of their transaction. `lsn` and `rows` say where reading began."""

    size: int
    """About how many events a batch has."""
    lsn: int
    rows: int
    _frames: list[pl.DataFrame] = field(default_factory=list, init=False)
    _count: int = field(default=0, init=False)
    _bytes: int = field(default=0, init=False)
    _counts: list[Ints] = field(default_factory=list, init=False)
    _ends: list[Ints] = field(default_factory=list, init=False)
    _skip: int = field(init=False)

    def __post_init__(self) -> None:
        self._skip = self.rows

    def add(self, events: pl.DataFrame, transactions: Transactions) -> Iterator[Cut]:
        """Takes the events of a piece; gives batches of whole transactions as soon as they are large enough."""
        known = {
            name: pl.Series(values[events.get_column(TRANSACTION).to_numpy()], dtype=pl.Int64)
            for name, values in ((COMMIT, transactions.commit), (XID, transactions.xid), (AT, transactions.at))
        }
        events = events.with_columns(**known)
        each = np.bincount(events.get_column(TRANSACTION).to_numpy(), minlength=len(transactions.end))
        if self._skip:
            skipped = min(self._skip, events.height)
            self._skip -= skipped
            events = events[skipped:]
            each = np.diff(np.maximum(np.cumsum(each) - skipped, 0), prepend=0)
        complete = transactions.end > 0
        self._counts.append((self._count + np.cumsum(each))[complete])
        self._ends.append(transactions.end[complete])
        if events.height:
            self._frames.append(events)
            self._count += events.height
            self._bytes += int(events.estimated_size())
        while self._count >= (most := rows_within(self._count, self._bytes, self.size)):
            if (cut := self._cut(most)) is None:
                return
            yield cut

    def rest(self, end: int) -> Cut | None:
        """All that is left when everything up to `end` was read; None if that changes nothing."""
        last = max(end, *(int(ends[-1]) for ends in self._ends if ends.size), self.lsn)
        if not self._count and last == self.lsn:
            return None
        return self._taken(self._count, last, 0)

    def _cut(self, most: int) -> Cut | None:
        counts, ends = np.concatenate(self._counts), np.concatenate(self._ends)
        at = int(np.searchsorted(counts, most, side="right")) - 1
        if at < 0 or counts[at] == 0:  # the first transaction alone is larger
            at = int(np.searchsorted(counts, 1))
        if at < len(counts):
            at = int(np.searchsorted(counts, counts[at], side="right")) - 1
            return self._taken(int(counts[at]), int(ends[at]), 0)
        if self._count < MOST_ROWS and self._bytes < MOST_BYTES:
            return None
        lsn = int(ends[-1]) if ends.size else self.lsn
        return self._taken(self._count, lsn, self._count + (self.rows if lsn == self.lsn else 0))

    def _taken(self, count: int, lsn: int, rows: int) -> Cut:
        events = pl.concat(self._frames, how="diagonal") if self._frames else pl.DataFrame()
        taken, left = events[:count], events[count:]
        counts, ends = (np.concatenate([*found, np.zeros(0, np.int64)]) for found in (self._counts, self._ends))
        later = ends > lsn
        self._counts, self._ends = [counts[later] - count], [ends[later]]
        self._frames, self._count = ([left] if left.height else []), left.height
        self._bytes = int(left.estimated_size()) if left.height else 0
        self.lsn, self.rows = lsn, rows
        return Cut(taken, lsn, rows)
