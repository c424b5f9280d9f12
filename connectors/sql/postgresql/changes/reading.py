"""Reads changes of a table from a copy of its slot, from one LSN to another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from headrace.connectors.batch_size import rows_within
from headrace.connectors.errors import SourceError
from headrace.connectors.source import Batch, Position
from headrace.connectors.sql.columns import Chosen
from headrace.connectors.sql.postgresql.changes import slots
from headrace.connectors.sql.postgresql.changes.events import OP, TRANSACTION, events_of
from headrace.connectors.sql.postgresql.changes.pgoutput import Decoder, Piece
from headrace.connectors.sql.postgresql.changes.progress import Region
from headrace.connectors.sql.postgresql.changes.rows import EventRows
from headrace.connectors.sql.postgresql.changes.settings import ChangeSettings
from headrace.connectors.sql.postgresql.changes.transactions import Batches, Cut
from headrace.connectors.sql.postgresql.changes.unchanged import Opened, filled
from headrace.connectors.sql.postgresql.copying import binary_rows
from headrace.connectors.sql.postgresql.session import Session
from headrace.connectors.sql.relation import Column, Relation

ANSWER = 100_000
"""The least number of messages that the server is asked for at once."""

_PIECE_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class ChangeReading:
    """One reading. `opened` gives sessions, `key` identifies a row, `kept` are the columns that are wanted.
    `keeps_all`: a value that may be of a later change is taken, because that change follows."""

    opened: Opened
    relation: Relation
    key: Sequence[Column]
    kept: Sequence[Chosen]
    rows: EventRows
    changes: ChangeSettings
    keeps_all: bool

    def batches(
        self, place: Mapping[str, Any], size: int, rows_done: int, position: Position | None
    ) -> Iterator[Batch]:
        """The batches of a partition of about `size` events after a position, the last of which has the position at
        its end. Raises SourceError."""
        at = place if position is None else position
        begin, skip = int(at["start"] if position is None else at["lsn"]), int(at.get("rows", 0))
        batches, regions = Batches(size, begin, skip), [Region.of(each) for each in place["regions"]]
        key = [column.name for column in self.key]
        names = list(dict.fromkeys([*(each.column.name for each in self.kept), *key]))
        with self.opened() as reading:
            for piece in self._pieces(reading, place, begin):
                events = self._new(events_of(piece, names, key), piece, begin, regions)
                for cut in batches.add(events, piece.transactions):
                    batch = self._batch(cut, place, rows_done)
                    rows_done = batch.rows_done
                    # Values that an update did not change are not among the events.
                    batches.size = rows_within(batch.rows, int(batch.frame.estimated_size()), size)
                    yield batch
            rest = batches.rest(int(place["end"]))
            if rest is not None:
                yield self._batch(rest, place, rows_done)

    def _batch(self, cut: Cut, place: Mapping[str, Any], rows_done: int) -> Batch:
        after = {name: place[name] for name in ("slot", "publication", "table", "begins")}
        after |= {"lsn": cut.lsn} | ({"rows": cut.rows} if cut.rows else {})
        if not cut.events.height:
            return self.rows.nothing(rows_done, after)
        found = filled(self.opened, self.relation, self.key, cut.events)
        return self.rows.of_texts(found.events, rows_done, after, {} if self.keeps_all else found.unsure)

    def _pieces(self, reading: Session, place: Mapping[str, Any], begin: int) -> Iterator[Piece]:
        """The messages of all transactions after an LSN."""
        with slots.temporary_copy(reading, place["slot"], begin) as copy:
            more = True
            while more:
                decoder, messages = Decoder(int(place["table"])), 0
                statement = slots.changes_statement(copy, place["publication"], int(place["end"]), ANSWER)
                for rows in binary_rows(reading, statement, _PIECE_ROWS):
                    messages += len(rows.ends)
                    yield decoder.piece(rows)
                more = messages >= ANSWER

    def _new(self, events: pl.DataFrame, piece: Piece, begin: int, regions: Sequence[Region]) -> pl.DataFrame:
        """The events that have not been loaded, and that no part of the snapshot has seen."""
        transactions = piece.transactions
        of = events.get_column(TRANSACTION).to_numpy()
        keep = pl.Series(transactions.commit[of] >= begin)
        truncates = events.get_column(OP) == "t"
        if self.changes.on_truncate == "ignore":
            keep &= ~truncates
        seen_by = pl.Series([0]).new_from_index(0, events.height)
        for region in regions:
            saw = pl.Series(region.saw(transactions.xid, transactions.commit)[of])
            seen_by += (saw & truncates).cast(pl.Int64)
            keep &= ~(saw & region.has(events) & ~truncates)
        truncates = truncates & keep
        if regions and (truncates & (seen_by > 0) & (seen_by < len(regions))).any():
            raise SourceError(
                "truncated",
                f"{self.relation.name} was truncated while its parts were being read, some before and some after.",
                "Reset the cursors of the pipeline, so that it is read again.",
            )
        keep &= ~(truncates & (seen_by > 0))
        if self.changes.on_truncate == "fail" and (truncates & keep).any():
            raise SourceError(
                "truncated",
                f"{self.relation.name} was truncated at its origin.",
                "Set changes.onTruncate to apply or ignore.",
            )
        return events.filter(keep)
