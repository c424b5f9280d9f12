"""A table or a query as a source: the same for every system, over its dialect."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import polars as pl

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.reconnecting import PAUSES, reconnecting
from headrace.connectors.source import Batch, Discovery, Fitting, Partition, Passable, Position, StreamFound, Wanted
from headrace.connectors.sql.columns import Chosen, Explain, Rows, chosen, details, empty, values_of_position
from headrace.connectors.sql.dialect import Dialect, Explaining, Weighing
from headrace.connectors.sql.passing import named_by_user, passable, passed_rows
from headrace.connectors.sql.plan import CURSOR, full, since
from headrace.connectors.sql.query_validation import validated
from headrace.connectors.sql.ranges import KeyRange
from headrace.connectors.sql.relation import Column, Relation, table_name
from headrace.connectors.sql.select import Select
from headrace.connectors.sql.settings import SqlSettings, settings_of
from headrace.ir.schema import Schema

BATCH_ROWS = 65_536
"""The most rows of a batch."""


class SqlSource:
    """A `Source`, `Incremental` and `Closing` over a dialect. Connects at the first call only."""

    def __init__(
        self,
        context: Context,
        dialect: Dialect,
        *,
        pauses: tuple[float, ...] = PAUSES,
        settings: SqlSettings | None = None,
    ) -> None:
        """`settings` are those of a system with additional settings. Raises SourceError for invalid settings."""
        self._settings = settings if settings is not None else settings_of(context.settings)
        self._declared = context.fields
        self._dialect = dialect
        self._pauses = pauses
        self._cursors: Mapping[str, Position] = {}
        self._known: Relation | None = None
        query = self._settings.query
        self._query = None if query is None else validated(query, dialect.parser, list(self._settings.parameters))

    @property
    def note(self) -> str | None:
        return self._dialect.note

    def begin_at(self, cursors: Mapping[str, Position]) -> None:
        self._cursors = cursors

    def close(self) -> None:
        self._dialect.close()

    def discover(self, *, max_partitions: int) -> Discovery:
        relation = self._relation()
        columns = self._columns(relation)
        if self._settings.cursor is None:
            plan = full(relation, self._settings, self._dialect, max_partitions)
        else:
            plan = since(relation, self._settings, self._dialect, self._cursors.get(CURSOR))
        return Discovery(
            tuple(each.field for each in columns),
            plan.partitions(relation.name),
            plan.rows,
            None,
            frozenset(each.field.name for each in columns if each.sure),
            notes=plan.notes,
            restart=plan.restart,
        )

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
        """Does nothing: a database has no version to check."""

    def types_of(self, columns: Collection[str]) -> Mapping[str, Fitting]:
        """Empty: no type is inferred."""
        del columns
        return {}

    def passable(self, found: Discovery) -> Passable:
        return passable(self._dialect, self._relation(), self._columns(self._relation()), found)

    def sample(self, rows: int) -> pl.DataFrame:
        relation = self._relation()
        reader = Rows(self._columns(relation), (), 1, checked=False, explain=self._explain)
        taken, done = [], 0
        for raw in self._dialect.read(Select(relation, reader.asked, limit=rows), rows=BATCH_ROWS, snapshot=None):
            batch = reader.batch(raw, done)
            done = batch.rows_done
            taken.append(batch.frame)
        return pl.concat(taken) if taken else empty(tuple(each.field for each in self._columns(relation)))

    def read(
        self,
        partition: Partition,
        schema: Schema,
        *,
        wanted: Wanted | None = None,
        rows_done: int = 0,
        position: Position | None = None,
    ) -> Iterator[Batch]:
        """Reconnects where reading can continue after the last batch."""
        yield from reconnecting(
            lambda done, after: self._read(partition, schema, wanted, done, after),
            rows_done,
            position,
            pauses=self._pauses,
            can_go_on=bool(partition.location.get("order")),
        )

    def _read(
        self,
        partition: Partition,
        schema: Schema,
        wanted: Wanted | None,
        rows_done: int,
        position: Position | None,
    ) -> Iterator[Batch]:
        relation, place = self._relation(), partition.location
        columns = [
            each
            for each in chosen(relation, [field.name for field in schema], schema)
            if wanted is None or each.field.name in wanted.columns
        ]
        order = [relation.column(name, "key") for name in place.get("order", ())]
        checked = named_by_user(relation, order)
        reader = Rows(
            columns,
            order,
            partition.first_row,
            checked=checked,
            weights=self._weights(relation, order) if checked else None,
            explain=self._explain,
        )
        select = self._select(relation, place, order, position, reader, columns, wanted)
        size = min(BATCH_ROWS, (wanted.batch_rows if wanted is not None else None) or BATCH_ROWS)
        if wanted is not None and wanted.passed is not None:
            yield from passed_rows(
                self._dialect, select, columns, wanted.passed, partition.first_row, rows_done, size, place
            )
            return
        for raw in self._dialect.read(select, rows=size, snapshot=place.get("snapshot")):
            batch = reader.batch(raw, rows_done)
            rows_done = batch.rows_done
            yield batch

    def _select(
        self,
        relation: Relation,
        place: Mapping[str, Any],
        order: list[Column],
        position: Position | None,
        reader: Rows,
        columns: list[Chosen],
        wanted: Wanted | None,
    ) -> Select:
        own_types = {each.field.name: each.column.name for each in columns if not each.as_declared}
        after = (
            place.get("after") if position is None else values_of_position(position, [column.name for column in order])
        )
        cursor = place.get("cursor")
        split = place.get("split")
        return Select(
            relation,
            reader.asked,
            order,
            after,
            relation.column(split) if split is not None else None,
            KeyRange(**place["range"]) if "range" in place else KeyRange(),
            relation.column(cursor) if cursor is not None else None,
            place.get("since"),
            place.get("upto"),
            place.get("own"),
            [
                type(bound)(own_types[bound.column], bound.comparison, bound.value)
                for bound in (wanted.bounds if wanted is not None else ())
                if bound.column in own_types
            ],
        )

    @property
    def _explain(self) -> Explain | None:
        return self._dialect.explain if isinstance(self._dialect, Explaining) else None

    def _weights(self, relation: Relation, order: list[Column]) -> dict[str, Column]:
        if not isinstance(self._dialect, Weighing):
            return {}
        found = {column.name: self._dialect.weight(relation, column) for column in order}
        return {name: weight for name, weight in found.items() if weight is not None}

    def _relation(self) -> Relation:
        if self._known is None:
            if self._query is not None:
                self._known = self._dialect.query(self._query, dict(self._settings.parameters))
            else:
                name = table_name(self._settings.table or "")
                if name is None:
                    raise SourceError(
                        "bad_table", f"'{self._settings.table}' is not a table name.", "Write schema.table."
                    )
                self._known = self._dialect.table(name)
        return self._known

    def _columns(self, relation: Relation) -> tuple[Chosen, ...]:
        return chosen(relation, self._settings.columns, self._declared)
