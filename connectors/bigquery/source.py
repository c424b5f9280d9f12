"""A table or a query of BigQuery as a source: one session, whose streams can be read from any row."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from headrace.connectors.bigquery import catalog
from headrace.connectors.bigquery.dialect import BigQueryDialect
from headrace.connectors.bigquery.frames import frame
from headrace.connectors.bigquery.ordering import check_order
from headrace.connectors.bigquery.settings import read_settings, table_of
from headrace.connectors.bigquery.streams import Stream, gathered, partitions, stream_of
from headrace.connectors.bigquery.types import ORDERED, Described, unordered
from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.source import Batch, Discovery, Fitting, Partition, Position, Restart, StreamFound, Wanted
from headrace.connectors.sql.columns import Chosen, Rows, chosen, details, empty
from headrace.connectors.sql.plan import CURSOR, since
from headrace.connectors.sql.query_validation import validated
from headrace.connectors.sql.relation import Column, Relation
from headrace.connectors.sql.select import Select
from headrace.connectors.sql.settings import named_as_there
from headrace.connectors.sql.stamps import cast_exact
from headrace.ir.schema import Schema

BATCH_ROWS = 65_536
"""The most rows of a batch."""
PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds before each request for a lost stream."""


@dataclass(frozen=True, slots=True)
class _Read:
    """The definition of a session: a table's path, its columns, the order of its rows, the number of streams."""

    path: str
    columns: Sequence[Chosen]
    order: Sequence[Column]
    streams: int


class BigQuerySource:
    """A `Source`, `Incremental`, `Narrowing` and `Closing`. Connects at the first call only."""

    def __init__(self, context: Context, dialect: BigQueryDialect, *, pauses: tuple[float, ...] = PAUSES) -> None:
        """Raises SourceError for invalid settings."""
        self._settings = read_settings(context.settings)
        self._declared = context.fields
        self._dialect = dialect
        self._pauses = pauses
        self._cursors: Mapping[str, Position] = {}
        self._known: Relation | None = None
        self._made: _Read | None = None
        query = self._settings.query
        self._query = None if query is None else validated(query, dialect.parser, list(self._settings.parameters))
        self._table = None if query is not None else table_of(self._settings)

    @property
    def note(self) -> str | None:
        return self._dialect.note

    def begin_at(self, cursors: Mapping[str, Position]) -> None:
        self._cursors = cursors

    def close(self) -> None:
        """Does nothing: sessions expire on the server."""
        self._dialect.close()

    def discover(self, *, max_partitions: int) -> Discovery:
        """Creates a session of a table or of a query's result; a query is executed."""
        relation = self._relation()
        columns = chosen(relation, self._settings.columns, self._declared)
        asked = self._settings.partitions
        most = min(asked.partitions or max_partitions, max_partitions) if asked.by != "none" else 1
        order, select, notes = self._plan(relation, columns)
        path = catalog.stored(relation) if self._settings.cursor is None else None
        if path is None and select is not None:
            path = self._dialect.jobs.run(self._dialect.statement(select), relation.name).path
        # the single stream of an ordered result returns rows in that order
        self._made = None if path is None else _Read(path, columns, order, 1 if order else max(1, most))
        found = Discovery(
            tuple(each.field for each in columns),
            (),
            0,
            None,
            frozenset(each.field.name for each in columns if each.sure),
            notes=tuple(notes),
            restart=Restart.EXACT,
        )
        return found if self._made is None else self._opened(found, self._made, [each.column for each in columns], "")

    def narrowed(self, found: Discovery, wanted: Wanted) -> Discovery:
        """Another session of the same table with only the wanted columns and rows."""
        if self._made is None:
            return found
        columns = [each.column for each in self._made.columns if each.field.name in wanted.columns]
        where = "" if self._made.order else self._condition(self._made.columns, wanted)
        if not where and len(columns) == len(self._made.columns):
            return found
        return self._opened(found, self._made, columns, where)

    def found(self) -> StreamFound:
        """Describes the relation for discovery: its columns, its key, the number of rows. Raises SourceError."""
        relation = self._relation()
        columns = chosen(relation, self._settings.columns, self._declared)
        given = self._settings.model_dump(include={"table", "query", "parameters"}, exclude_defaults=True)
        return StreamFound(
            relation.name,
            given,
            relation.kind,
            tuple(each.field for each in columns),
            relation.rows,
            relation.key,
            relation.comment,
            details=details(columns),
        )

    def fingerprint(self) -> None:
        """Does nothing: a session does not change."""

    def types_of(self, columns: Collection[str]) -> Mapping[str, Fitting]:
        """Empty: no type is inferred."""
        del columns
        return {}

    def sample(self, rows: int) -> pl.DataFrame:
        """The first rows of a table's stream, without a billed query; a query is executed."""
        relation = self._relation()
        columns = chosen(relation, self._settings.columns, self._declared)
        reader = Rows(columns, (), 1, checked=False, cast=cast_exact)
        taken, done = [], 0
        for raw in self._sampled(relation, reader, rows):
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
        """Requests a lost stream again, from the row after the last batch."""
        del position  # the column is in the row
        tries = 0
        while True:
            try:
                for batch in self._read(partition, schema, wanted, rows_done):
                    tries, rows_done = 0, batch.rows_done
                    yield batch
            except SourceError as error:
                if error.code != "connection_lost" or tries == len(self._pauses):
                    raise
                time.sleep(self._pauses[tries])
                tries += 1
            else:
                return

    def _read(self, partition: Partition, schema: Schema, wanted: Wanted | None, rows_done: int) -> Iterator[Batch]:
        stream, what = stream_of(partition), partition.label or "the result"
        kept, order = self._kept(stream, what, schema, wanted)
        rows = Rows(kept, order, partition.first_row, checked=bool(order), cast=cast_exact)
        columns = [each.column for each in rows.asked]
        size = min(BATCH_ROWS, (wanted.batch_rows if wanted is not None else None) or BATCH_ROWS)
        before: tuple[Any, ...] | None = None
        for records in gathered(self._dialect.storage.batches(stream.name, rows_done, what, stream.expires), size):
            raw = frame(records, columns, stream.described)
            batch = rows.batch(raw, rows_done)
            before = check_order(raw, stream.order, before, what)
            rows_done = batch.rows_done
            yield batch

    def _kept(
        self, stream: Stream, what: str, schema: Schema, wanted: Wanted | None
    ) -> tuple[list[Chosen], list[Column]]:
        """The columns of a batch, and those that its rows are ordered by."""
        relation = Relation(what, "", stream.columns)
        names = [field.name for field in schema if wanted is None or field.name in wanted.columns]
        try:
            kept = list(chosen(relation, names, schema))
        except SourceError as error:
            if error.code != "missing_column":
                raise
            raise SourceError(
                "not_selected", f"{error.message} The run's plan had no use for it when it began.", "Start a new run."
            ) from None
        return kept, [relation.column(name, "key") for name in stream.order]

    def _opened(self, found: Discovery, read: _Read, columns: Sequence[Column], where: str) -> Discovery:
        relation = self._relation()
        described = catalog.described(relation)
        columns = _with(columns, read.order) or [_least([each.column for each in read.columns])]
        session = self._dialect.storage.session(read.path, relation.name, columns, where=where, streams=read.streams)
        kept: list[Described] = [described[column.name] for column in columns]
        names = [column.name for column in read.order]
        cursor = None if self._settings.cursor is None else CURSOR
        made = partitions(session, kept, order=names, label=relation.name, cursor=cursor)
        return replace(found, partitions=made, total_rows=session.rows)

    def _condition(self, columns: Sequence[Chosen], wanted: Wanted) -> str:
        """SQL for the bounds; empty where a filtered row might have to be reported."""
        if not all(each.sure for each in columns):
            return ""
        own = {each.field.name: each.column for each in columns if not each.as_declared}
        said = [
            self._dialect.bound(own[each.column], replace(each, column=own[each.column].name))
            for each in wanted.bounds
            if each.column in own
        ]
        return " AND ".join(each for each in said if each is not None)

    def _plan(self, relation: Relation, columns: Sequence[Chosen]) -> tuple[list[Column], Select | None, Sequence[str]]:
        """The order of the rows, the statement (None if there is nothing new), and notes."""
        if self._settings.cursor is None:
            return [], Select(relation, Rows(columns, (), 1, checked=False).asked), ()
        settings = named_as_there(self._settings, relation)
        plan = since(relation, settings, self._dialect, self._cursors.get(CURSOR))
        if not plan.locations:
            return [], None, plan.notes
        place = plan.locations[0]
        order = [relation.column(name, "key") for name in place["order"]]
        for column in order:
            if column.kind not in ORDERED:
                raise unordered(column)
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

    def _sampled(self, relation: Relation, reader: Rows, rows: int) -> Iterator[pl.DataFrame]:
        path, columns = catalog.stored(relation), [each.column for each in reader.asked]
        if path is None:
            yield from self._dialect.read(Select(relation, reader.asked, limit=rows), rows=BATCH_ROWS, snapshot=None)
            return
        session = self._dialect.storage.session(path, relation.name, columns, streams=1)
        for stream in session.streams:
            for records in self._dialect.storage.batches(stream, 0, relation.name, session.expires):
                yield frame(records.slice(0, rows), columns, catalog.described(relation))
                rows -= records.num_rows
                if rows <= 0:
                    return

    def _relation(self) -> Relation:
        if self._known is None:
            if self._query is not None:
                self._known = self._dialect.query(self._query, dict(self._settings.parameters))
            else:
                assert self._table is not None
                self._known = self._dialect.table(self._table)
        return self._known


def _with(columns: Sequence[Column], order: Sequence[Column]) -> list[Column]:
    """The columns and those that the rows are ordered by, without duplicates."""
    return list({column.name: column for column in (*columns, *order)}.values())


def _least(columns: Sequence[Column]) -> Column:
    """A cheap column, for counting rows only."""
    cheap = ("BOOL", "INT64", "DATE", "TIME", "DATETIME", "TIMESTAMP", "FLOAT64", "NUMERIC")
    return min(columns, key=lambda column: cheap.index(column.kind) if column.kind in cheap else len(cheap))
