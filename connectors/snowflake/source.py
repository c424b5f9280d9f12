"""A table or a query of Snowflake as a source: the query runs once, and its stored result is read batch by batch."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.snowflake.dialect import SnowflakeDialect
from headrace.connectors.snowflake.frames import frame
from headrace.connectors.snowflake.session import Result
from headrace.connectors.snowflake.settings import read_settings, table_of
from headrace.connectors.snowflake.shares import Share, partitions, place_of, share_of, shares
from headrace.connectors.source import (
    Batch,
    Bound,
    Discovery,
    Fitting,
    Partition,
    Position,
    Restart,
    StreamFound,
    Wanted,
)
from headrace.connectors.sql.columns import Chosen, Rows, chosen, details, empty
from headrace.connectors.sql.plan import CURSOR, since
from headrace.connectors.sql.query_validation import validated
from headrace.connectors.sql.relation import Column, Relation
from headrace.connectors.sql.select import Select
from headrace.connectors.sql.settings import named_as_there
from headrace.connectors.sql.stamps import cast_exact
from headrace.ir.schema import Field, Schema

BATCH_ROWS = 65_536
"""The most rows of a batch."""
PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each attempt to reopen a lost session."""


class SnowflakeSource:
    """A `Source`, `Incremental`, `Describing` and `Closing`. Looks at nothing before it is asked."""

    def __init__(self, context: Context, dialect: SnowflakeDialect, *, pauses: tuple[float, ...] = PAUSES) -> None:
        """Raises SourceError for invalid settings."""
        self._settings = read_settings(context.settings)
        self._declared = context.fields
        self._dialect = dialect
        self._pauses = pauses
        self._cursors: Mapping[str, Position] = {}
        self._known: Relation | None = None
        self._most = 1
        query = self._settings.query
        self._query = None if query is None else validated(query, dialect.parser, list(self._settings.parameters))
        self._table = None if query is not None else table_of(self._settings)

    @property
    def note(self) -> str | None:
        return self._dialect.note

    def begin_at(self, cursors: Mapping[str, Position]) -> None:
        self._cursors = cursors

    def close(self) -> None:
        """Does nothing: the result is stored on the server."""
        self._dialect.close()

    def discover(self, *, max_partitions: int) -> Discovery:
        """Runs the query."""
        return self._run(self.described(max_partitions=max_partitions), self._columns(self._relation()), ())

    def described(self, *, max_partitions: int) -> Discovery:
        """Runs nothing."""
        self._most = max_partitions
        columns = self._columns(self._relation())
        return Discovery(
            tuple(each.field for each in columns),
            (),
            0,
            None,
            frozenset(each.field.name for each in columns if each.sure),
            restart=Restart.EXACT,
        )

    def narrowed(self, found: Discovery, wanted: Wanted) -> Discovery:
        """Runs the query for what is wanted alone. What is new is not filtered: a cursor passes all of it."""
        columns = self._columns(self._relation())
        kept = tuple(each for each in columns if each.field.name in wanted.columns) or columns[:1]
        return self._run(found, kept, () if self._settings.cursor is not None else wanted.bounds)

    def _run(self, found: Discovery, columns: Sequence[Chosen], bounds: Sequence[Bound]) -> Discovery:
        relation = self._relation()
        order, select, notes = self._plan(relation, columns, bounds)
        result = Result("", ())
        if select is not None:
            result = self._dialect.session.run(self._dialect.statement(select), relation.name)
        cursor = None if self._settings.cursor is None else CURSOR
        asked = self._settings.partitions
        most = min(asked.partitions or self._most, self._most)
        if cursor is not None or asked.by == "none":
            most = 1
        given = shares(result.rows, max(1, most))
        more = {"ran": int(time.time()), "columns": [_stored(each) for each in _selected(columns, order)]}
        if order:
            more["order"] = [column.name for column in order]
        made = partitions(result.query_id, given, more, label=relation.name, cursor=cursor)
        return replace(found, partitions=made, total_rows=sum(result.rows), notes=tuple(notes))

    def found(self) -> StreamFound:
        """Describes the relation for discovery: its columns, its key, the estimated number of rows. Raises
        SourceError."""
        relation = self._relation()
        columns = self._columns(relation)
        return StreamFound(
            relation.name,
            self._settings.model_dump(include={"table", "query", "parameters"}, exclude_defaults=True),
            relation.kind,
            tuple(each.field for each in columns),
            relation.rows,
            relation.key,
            relation.comment,
            details=details(columns),
        )

    def fingerprint(self) -> None:
        """Does nothing: a stored result does not change."""

    def types_of(self, columns: Collection[str]) -> Mapping[str, Fitting]:
        """Empty: no type is inferred."""
        del columns
        return {}

    def sample(self, rows: int) -> pl.DataFrame:
        """Runs the query for the first rows."""
        relation = self._relation()
        columns = self._columns(relation)
        reader = Rows(columns, (), 1, checked=False, cast=cast_exact)
        taken, done = [], 0
        for raw in self._dialect.read(Select(relation, reader.asked, limit=rows), rows=BATCH_ROWS, snapshot=None):
            batch = reader.batch(raw, done)
            done = batch.rows_done
            taken.append(batch.frame)
        return pl.concat(taken) if taken else empty(tuple(each.field for each in columns))

    def read(
        self,
        partition: Partition,
        schema: Schema,
        *,
        wanted: Wanted | None = None,
        rows_done: int = 0,
        position: Position | None = None,
    ) -> Iterator[Batch]:
        """Reconnects a lost session and continues after the last batch: the result is stored."""
        tries = 0
        while True:
            session = self._dialect.session
            number = session.made
            try:
                for batch in self._read(partition, schema, wanted, rows_done, position):
                    tries, number = 0, session.made
                    rows_done, position = batch.rows_done, batch.position
                    yield batch
            except SourceError as error:
                if error.code != "connection_lost" or tries == len(self._pauses):
                    raise
                session.again(number or session.made)
                time.sleep(self._pauses[tries])
                tries += 1
            else:
                return

    def _read(
        self, partition: Partition, schema: Schema, wanted: Wanted | None, rows_done: int, position: Position | None
    ) -> Iterator[Batch]:
        place, share = partition.location, share_of(partition)
        what = partition.label or "the result"
        selected = tuple(_column(each) for each in place["columns"])
        relation = Relation(what, "", selected)
        kept = _kept(relation, schema, wanted)
        order = [relation.column(name, "key") for name in place.get("order", ())]
        rows = Rows(kept, order, partition.first_row, checked=bool(order), cast=cast_exact)
        needed = {each.column.name for each in rows.asked}
        size = min(BATCH_ROWS, (wanted.batch_rows if wanted is not None else None) or BATCH_ROWS)
        index, row = _begin(share, rows_done, position)
        if index == share.first + len(share.rows):
            return
        hours = (time.time() - place.get("ran", time.time())) / 3600
        batches = self._dialect.session.batches(str(place["query"]), what, hours)
        for at in range(index, share.first + len(share.rows)):
            expected = share.rows[at - share.first]
            if at >= len(batches) or batches[at].rowcount != expected:
                raise SourceError(
                    "result_changed", f"The result of {what} is not in the batches it was in.", "Start a new run."
                )
            if not expected:
                continue
            done_in_batch = 0
            for records in self._dialect.session.records(batches[at], what):
                skip = min(max(row - done_in_batch, 0), records.num_rows)
                for start in range(skip, records.num_rows, size):
                    raw = frame(records.slice(start, size), selected, needed)
                    batch = rows.batch(raw, rows_done)
                    rows_done = batch.rows_done
                    here = done_in_batch + start + raw.height
                    batch.position = {**(batch.position or {}), "batch": at, "row": here}
                    yield batch
                done_in_batch += records.num_rows
            if done_in_batch != expected:
                raise SourceError(
                    "connection_lost", f"A batch of {what} has {done_in_batch:,} rows, not {expected:,}.", "Try again."
                )
            row = 0

    def _plan(
        self, relation: Relation, columns: Sequence[Chosen], bounds: Sequence[Bound]
    ) -> tuple[list[Column], Select | None, Sequence[str]]:
        """What the rows are ordered by, the statement (None: there is nothing new), and remarks for people."""
        if self._settings.cursor is None:
            own = {each.field.name: each.column.name for each in columns if not each.as_declared}
            pushed = [replace(each, column=own[each.column]) for each in bounds if each.column in own]
            return [], Select(relation, Rows(columns, (), 1, checked=False).asked, bounds=pushed), ()
        settings = named_as_there(self._settings, relation)
        plan = since(relation, settings, self._dialect, self._cursors.get(CURSOR))
        if not plan.locations:
            return [], None, plan.notes
        place = plan.locations[0]
        order = [relation.column(name, "key") for name in place["order"]]
        select = Select(
            relation,
            Rows(columns, order, 1, checked=False).asked,
            order,
            place["after"],
            cursor=relation.column(place["cursor"]),
            since=place["since"],
            upto=place["upto"],
        )
        return order, select, plan.notes

    def _relation(self) -> Relation:
        if self._known is None:
            if self._query is not None:
                self._known = self._dialect.query(self._query, dict(self._settings.parameters))
            else:
                assert self._table is not None
                self._known = self._dialect.table(self._table)
        return self._known

    def _columns(self, relation: Relation) -> tuple[Chosen, ...]:
        return chosen(relation, self._settings.columns, self._declared)


def _kept(relation: Relation, schema: Schema, wanted: Wanted | None) -> list[Chosen]:
    """The columns that a batch has. Raises SourceError(`not_selected`) for those that the result was not made with."""
    names = [field.name for field in schema if wanted is None or field.name in wanted.columns]
    try:
        return list(chosen(relation, names, schema))
    except SourceError as error:
        if error.code != "missing_column":
            raise
        raise SourceError(
            "not_selected", f"{error.message} The run's plan had no use for it when it began.", "Start a new run."
        ) from None


def _begin(share: Share, rows_done: int, position: Position | None) -> tuple[int, int]:
    """The start of reading: the position if it matches the number of rows done, else found by counting."""
    counted = share.after(rows_done)
    given = place_of(position)
    if given is not None and given != counted and share.after(rows_done) != _next(share, given):
        raise SourceError("bad_position", f"The position {given} is not after {rows_done:,} rows.", "Start a new run.")
    return counted


def _next(share: Share, place: tuple[int, int]) -> tuple[int, int]:
    """Moves a position at the end of a batch to the beginning of the next batch with rows."""
    batch, row = place
    before = sum(share.rows[: batch - share.first]) if batch >= share.first else -1
    return share.after(before + row) if 0 <= before + row <= sum(share.rows) else (-1, -1)


def _selected(columns: Sequence[Chosen], order: Sequence[Column]) -> list[Column]:
    """The columns of the result, in their order."""
    return [each.column for each in Rows(columns, order, 1, checked=False).asked]


def _stored(column: Column) -> dict[str, Any]:
    """A column as JSON for a partition's location: the definition in the result, even if the table changes."""
    field = column.field
    return {
        "name": field.name,
        "type": [field.data_type, field.precision, field.scale],
        "native": column.native,
        "kind": column.kind,
        "sure": column.sure,
        "nullable": column.nullable,
    }


def _column(stored: Mapping[str, Any]) -> Column:
    data_type, precision, scale = stored["type"]
    return Column(
        Field(stored["name"], data_type, precision, scale),
        stored["native"],
        stored["kind"],
        bool(stored["sure"]),
        bool(stored["nullable"]),
    )
