"""How far a table and its changes have been read, as the cursors say it.

Each part of the snapshot has a cursor, `snapshot/0` and so on, which is there once the part is loaded; `changes` is
the LSN up to which changes are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from headrace.connectors.errors import SourceError
from headrace.connectors.source import Position
from headrace.connectors.sql.postgresql.changes.pgoutput import Ints, Mask
from headrace.connectors.sql.ranges import KeyRange

CHANGES = "changes"
_SNAPSHOT = "snapshot/"
_XID = 1 << 32


def snapshot_cursor(part: int) -> str:
    """The cursor of a part of the snapshot."""
    return f"{_SNAPSHOT}{part}"


@dataclass(frozen=True, slots=True)
class Region:
    """The rows that one part of the snapshot has read, at its own moment: changes that were visible to it are in them
    already. `split` is the column whose `range` it is; `snapshot` is as `pg_current_snapshot` writes it, and `upto` an
    LSN behind everything that was visible."""

    split: str | None
    range: KeyRange
    snapshot: str
    upto: int

    def as_json(self) -> dict[str, Any]:
        """For a position or a location."""
        return {"split": self.split, "range": self.range.as_json(), "snapshot": self.snapshot, "upto": self.upto}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Region:
        """From JSON."""
        return cls(stored["split"], KeyRange(**stored["range"]), stored["snapshot"], int(stored["upto"]))

    def has(self, rows: pl.DataFrame) -> pl.Expr | pl.Series:
        """Of rows with the column `split` as text, which are in the range: a mask."""
        if self.split is None:
            return pl.Series([True]).new_from_index(0, rows.height)
        value = rows.get_column(self.split).cast(pl.Int64)
        mask = value.is_not_null()
        if self.range.low is not None:
            mask &= value >= int(self.range.low)
        if self.range.high is not None:
            mask &= value < int(self.range.high)
        return mask.fill_null(value=False)

    def saw(self, xid: Ints, commit: Ints) -> Mask:
        """Which transactions, by their 32-bit ids and the LSNs of their commits, were visible."""
        # what is before the first part is below `high` and was not running
        _, high, running = self.snapshot.split(":")
        behind = (xid - int(high) % _XID + _XID // 2) % _XID - _XID // 2 < 0
        among = np.isin(xid, [int(each) % _XID for each in running.split(",") if each])
        seen: Mask = behind & ~among & (commit < self.upto)
        return seen


@dataclass(frozen=True, slots=True)
class Progress:
    """`slot` and `publication` are those that the cursors name; `begins` is the LSN from which the slot has all
    changes, `parts` those of the snapshot that are to be read and by their numbers those that have been. `lsn` is None
    until changes have been read."""

    slot: str
    publication: str
    table: int
    begins: int
    parts: Sequence[Mapping[str, Any]] = ()
    read: Mapping[int, Region] = field(default_factory=dict)
    lsn: int | None = None
    rows: int = 0
    """How many events after `lsn` have been read, of a transaction that is too large for one batch."""
    torn: bool = False
    """The slot was made again between two parts of the snapshot, and lacks what happened between."""

    @property
    def missing(self) -> list[int]:
        """The parts of the snapshot that have not been read."""
        return [] if self.lsn is not None else [part for part in range(len(self.parts)) if part not in self.read]

    @property
    def start(self) -> int:
        """The LSN after which changes are to be read."""
        return self.begins if self.lsn is None else self.lsn

    @property
    def regions(self) -> list[Region]:
        """Those that changes which are to be read may be in already."""
        return [region for region in self.read.values() if region.upto > self.start]

    @classmethod
    def of(cls, cursors: Mapping[str, Position]) -> Progress | None:
        """Where the cursors are; None without any. After a new snapshot has begun, those of the one before it are not
        looked at."""
        parts = {int(name.removeprefix(_SNAPSHOT)): at for name, at in cursors.items() if name.startswith(_SNAPSHOT)}
        changes = cursors.get(CHANGES)
        try:
            newer = [at for at in parts.values() if changes is None or at["slot"] != changes["slot"]]
            newer = [at for at in newer if changes is None or at["begins"] > changes["begins"]]
            if newer:
                last = max(newer, key=lambda at: int(at["begins"]))
                changes = None
            elif changes is not None:
                last = changes
            else:
                return None
            read = {part: Region.of(at["region"]) for part, at in parts.items() if at["slot"] == last["slot"]}
            return cls(
                last["slot"],
                last["publication"],
                int(last["table"]),
                int(last["begins"]),
                tuple(last.get("parts", ())),
                read,
                None if changes is None else int(changes["lsn"]),
                0 if changes is None else int(changes.get("rows", 0)),
                len({int(at["begins"]) for at in parts.values() if at["slot"] == last["slot"]}) > 1,
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise SourceError(
                "bad_position",
                "The stored cursors are not those of changes.",
                "Reset the cursors of the pipeline: the table is then read again.",
            ) from None
