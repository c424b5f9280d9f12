"""Screens the records of gathered pages: those that an earlier run loaded are left out; those that lack the cursor's
value, or came before, become error rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import polars as pl

from headrace.connectors.http.gathering import Gathered
from headrace.connectors.http.settings import Cursor
from headrace.connectors.http.watch import CursorWatch, RepeatWatch, texts
from headrace.connectors.source import REJECT_SCHEMA, ROW, Batch


@dataclass(frozen=True, slots=True)
class _Faults:
    """Which records are error rows, and why: a message for each record, or the same for all."""

    which: pl.Series
    column: str | None
    rule: str
    error: str | Sequence[str]


@dataclass(frozen=True, slots=True)
class Screened:
    """The records that are loaded or become error rows."""

    records: list[bytes]
    faults: Sequence[_Faults] = ()

    def rejected(self, batch: Batch, part: slice, first_row: int) -> Batch:
        """A batch of the records of that part without the faulty ones; already rejected rows keep their reason."""
        for each in self.faults:
            if (which := each.which[part]).any():
                errors = each.error if isinstance(each.error, str) else each.error[part]
                batch = _rejected(batch, which, first_row, each, errors)
        return batch


def screened(group: Gathered, cursor: Cursor | None, watch: CursorWatch | None, repeats: RepeatWatch) -> Screened:
    """The records of pages as the cursor and the key see them, which are decoded once for both. Raises SourceError."""
    records = group.records
    names = list(dict.fromkeys((*([cursor.field] if cursor is not None else []), *repeats.keys)))
    if not records or not names:
        return Screened(records)
    columns = dict(zip(names, texts(records, names), strict=True))
    pages: list[str] | None = None
    faults: list[_Faults] = []
    if watch is not None and cursor is not None:
        keep, lacking = watch.kept(records, columns[cursor.field])
        if keep is not None:
            chosen = keep.to_list()
            records, pages = list(compress(records, chosen)), list(compress(group.names(), chosen))
            columns = {name: each.filter(keep) for name, each in columns.items()}
        faults.append(_Faults(lacking, cursor.field, "cursor", "No such value"))
    came = repeats.repeated([columns[name] for name in repeats.keys])
    if came is not None and came.any():
        said = [f"Its key came before ({page})" for page in (pages or group.names())]
        faults.append(_Faults(came, None, "repeated", said))
    return Screened(records, faults)


def _rejected(batch: Batch, which: pl.Series, first_row: int, why: _Faults, errors: str | Sequence[str]) -> Batch:
    messages = pl.Series([errors] * which.len() if isinstance(errors, str) else errors, dtype=pl.String)
    more = pl.DataFrame(
        {
            "row": pl.int_range(first_row, first_row + which.len(), eager=True),
            "column": pl.Series([why.column] * which.len(), dtype=pl.String),
            "value": pl.Series([None] * which.len(), dtype=pl.String),
            "error": messages,
            "rule": [why.rule] * which.len(),
        },
        schema=REJECT_SCHEMA,
    ).filter(which & pl.int_range(first_row, first_row + which.len(), eager=True).is_in(batch.frame[ROW].implode()))
    batch.frame = batch.frame.filter(~pl.col(ROW).is_in(more["row"].implode()))
    batch.rejects = pl.concat([batch.rejects, more]).sort("row", maintain_order=True)
    return batch
