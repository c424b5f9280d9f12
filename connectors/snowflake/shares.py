"""Assigns the batches of a result to partitions, and finds the position to continue from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.connectors.source import Partition, Position


@dataclass(frozen=True, slots=True)
class Share:
    """Consecutive batches, from `first` on, and the rows of each."""

    first: int
    rows: tuple[int, ...]

    def after(self, rows_done: int) -> tuple[int, int]:
        """The batch and its row after `rows` rows: (index among all batches, row in it). Raises SourceError if there
        are fewer rows."""
        left = rows_done
        for place, rows in enumerate(self.rows):
            if left < rows:
                return self.first + place, left
            left -= rows
        if left:
            raise SourceError("bad_position", f"The partition has {sum(self.rows):,} rows, not {rows_done:,}.")
        return self.first + len(self.rows), 0


def shares(rows: Sequence[int], most: int) -> list[Share]:
    """At most `most` shares of about the same number of rows; empty batches join the one before, and no share is
    empty."""
    total, found = sum(rows), list[Share]()
    first = taken = 0
    for place, count in enumerate(rows):
        taken += count
        rest_needed = most - len(found) - 1
        if taken and rest_needed > 0 and taken >= total * (len(found) + 1) / most and any(rows[place + 1 :]):
            found.append(Share(first, tuple(rows[first : place + 1])))
            first = place + 1
    if any(rows[first:]):
        found.append(Share(first, tuple(rows[first:])))
    return found


def partitions(
    query_id: str,
    given: Sequence[Share],
    more: dict[str, Any],
    *,
    label: str,
    cursor: str | None,
) -> list[Partition]:
    """The partitions for the runtime; `more` is added to each location."""
    found, next_row = [], 1
    for index, share in enumerate(given):
        count = sum(share.rows)
        location = {"query": query_id, "first": share.first, "rows": list(share.rows), **more}
        shown = label if len(given) == 1 else f"{label} [{index + 1}/{len(given)}]"
        found.append(Partition(index, next_row, count, location, cursor=cursor, label=shown))
        next_row += count
    return found


def share_of(partition: Partition) -> Share:
    """Parses a partition's location, which comes from JSON. Raises SourceError for an invalid one."""
    first, rows = partition.location.get("first"), partition.location.get("rows")
    if not isinstance(first, int) or not isinstance(rows, list) or not all(isinstance(each, int) for each in rows):
        raise SourceError("bad_position", "The partition does not say which batches it has.", "Start a new run.")
    return Share(first, tuple(rows))


def place_of(position: Position) -> tuple[int, int] | None:
    """The batch and the row of a position; None without one."""
    if not isinstance(position, dict):
        return None
    batch, row = position.get("batch"), position.get("row")
    return (batch, row) if isinstance(batch, int) and isinstance(row, int) else None
