"""Reads the rows that a table has before its first change.

Each part is read in one transaction, whose snapshot is stored with the part's cursor (`progress.Region`): it says
which transactions the part's rows have already seen. A part that is interrupted is read again as a whole, at another
moment, and so is not loaded before it has ended (`Restart.NONE`); parts that are done stay done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from headrace.connectors.errors import SourceError
from headrace.connectors.source import Batch
from headrace.connectors.sql.postgresql.changes.events import OP, SEQUENCE
from headrace.connectors.sql.postgresql.changes.progress import Region
from headrace.connectors.sql.postgresql.changes.rows import EventRows
from headrace.connectors.sql.postgresql.changes.transactions import AT, COMMIT, XID
from headrace.connectors.sql.postgresql.dialect import PostgresDialect
from headrace.connectors.sql.postgresql.session import Session
from headrace.connectors.sql.postgresql.types import INTEGERS
from headrace.connectors.sql.ranges import KeyRange, partitions_for, ranges
from headrace.connectors.sql.relation import Column, Relation
from headrace.connectors.sql.select import Asked, Select

BATCH_ROWS = 65_536

_MOMENT = """
SELECT pg_catalog.pg_current_snapshot()::text, (pg_catalog.pg_current_wal_insert_lsn() - '0/0')::bigint,
       pg_catalog.now(), pg_catalog.pg_export_snapshot()
"""


@dataclass(frozen=True, slots=True)
class Parts:
    """How the table is divided: by which column, if at all, and the range of each part."""

    split: str | None
    ranges: Sequence[KeyRange]

    def as_json(self) -> list[Mapping[str, Any]]:
        """For positions: from each it is known which others there are."""
        return [{"split": self.split, "range": each.as_json()} for each in self.ranges]


def parts_of(
    relation: Relation, key: Sequence[Column], dialect: PostgresDialect, asked: int | None, most: int
) -> Parts:
    """Divides the table by the first column of its key, if that is an integer: a change must be found in its part
    without asking the server, whose order of other types is its own."""
    first = key[0]
    count = partitions_for(relation.rows, asked or 0, most)
    if first.kind not in INTEGERS or count < 2:
        return Parts(None, (KeyRange(),))
    points = dialect.cuts(relation, first, count)
    return Parts(first.name, tuple(ranges(points))) if points else Parts(None, (KeyRange(),))


def read_part(
    session: Session,
    dialect: PostgresDialect,
    relation: Relation,
    asked: Sequence[Asked],
    rows: EventRows,
    part: Mapping[str, Any],
    position: Mapping[str, Any],
    *,
    first: bool,
) -> Iterator[Batch]:
    """The rows of one part as events `r`. `session` is in a transaction of its own, which keeps the snapshot; the
    slot has to be there before it begins. `position` is completed by what the snapshot has seen. With `first` they
    follow a truncate. Raises SourceError."""
    snapshot, upto, moment, name = session.rows(_MOMENT)[0]
    split, within = part["split"], KeyRange(**part["range"])
    region = Region(split, within, str(snapshot), int(upto))
    position = {**position, "region": region.as_json()}
    select = Select(
        relation, asked, split=None if split is None else relation.column(split), range=replace(within, nulls=True)
    )
    done = 0
    if first:
        nothing = pl.DataFrame({each.column.name: [None] for each in asked}, schema=_texts(asked))
        batch = rows.of_values(_of_snapshot(nothing, "t", moment, 1), done, position)
        done = batch.rows_done
        yield batch
    read = False
    for raw in dialect.read(select, rows=BATCH_ROWS, snapshot=str(name)):
        if dialect.note is not None:
            raise SourceError("connection_lost", f"The snapshot of {relation.name} is gone.", "It can be retried.")
        batch = rows.of_values(_of_snapshot(raw, "r", moment, raw.height), done, position)
        done, read = batch.rows_done, True
        yield batch
    if not read:
        yield rows.nothing(done, position)


def _texts(asked: Sequence[Asked]) -> dict[str, type[pl.String]]:
    return {each.column.name: pl.String for each in asked}


def _of_snapshot(raw: pl.DataFrame, op: str, moment: datetime, height: int) -> pl.DataFrame:
    micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    event = pl.DataFrame({OP: [op]}).select(
        pl.col(OP),
        pl.lit(None, pl.Int64).alias(COMMIT),
        pl.lit(None, pl.Int64).alias(XID),
        pl.lit(None, pl.Int64).alias(SEQUENCE),
        pl.lit(micros, pl.Int64).alias(AT),
    )
    events = event[[0] * height] if height else event.clear()
    return pl.concat([events, raw], how="horizontal") if raw.width else events
