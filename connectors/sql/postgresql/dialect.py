"""The PostgreSQL dialect of `SqlSource`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import psycopg

from headrace.connectors.connector import Context
from headrace.connectors.datatypes import DEFAULT_SCALE, MAX_PRECISION
from headrace.connectors.errors import SourceError
from headrace.connectors.source import Bound, StreamFound
from headrace.connectors.sql.postgresql import catalog, passing
from headrace.connectors.sql.postgresql.copying import binary_rows, pieces
from headrace.connectors.sql.postgresql.frames import Frames
from headrace.connectors.sql.postgresql.login import Access, access
from headrace.connectors.sql.postgresql.session import SECONDS, Session, begun, session
from headrace.connectors.sql.postgresql.statistics import key_cuts, page_ranges
from headrace.connectors.sql.postgresql.types import (
    INTEGERS,
    NUMBERS,
    TIMES,
    expression,
    quoted,
    text_literal,
    type_sql,
)
from headrace.connectors.sql.query_validation import Query
from headrace.connectors.sql.relation import ALIAS, Column, Relation, Scalar, TableName
from headrace.connectors.sql.select import Asked, Select, tail
from headrace.connectors.sql.settings import lag_of

_GONE = "the snapshot that the partitions share is gone: the remaining rows are read in their current state"


class PostgresDialect:
    """Each query has its own connection; one more holds the snapshot."""

    title = "PostgreSQL"
    parser = "postgres"
    compares_rows = True

    def __init__(self, way: Access, *, seconds: float = SECONDS) -> None:
        self.note: str | None = None
        self._access, self._seconds = way, seconds
        self._holder: psycopg.Connection[Any] | None = None
        self._process = 0

    @classmethod
    def of(cls, context: Context) -> PostgresDialect:
        """Creates the dialect of a source's context. Raises SourceError."""
        given = context.settings.get("timeoutSeconds")
        return cls(access(context), seconds=float(given) if isinstance(given, int | float) else SECONDS)

    def table(self, name: TableName) -> Relation:
        with self._session(".".join(name)) as asked:
            return catalog.table(asked, name, self._access.place.database, self._access.place.schema_)

    def query(self, query: Query, parameters: dict[str, Scalar]) -> Relation:
        with self._session("the query") as asked:
            return catalog.query(asked, query.bound(parameters, plain_literal))

    def streams(self, text: str) -> Sequence[StreamFound]:
        with self._session("the list of tables") as asked:
            return catalog.streams(asked, text)

    def estimate(self, select: Select) -> int | None:
        with self._session(select.relation.name) as asked:
            return catalog.planned_rows(asked, tail(select, self))

    def cuts(self, relation: Relation, column: Column, parts: int) -> Sequence[Scalar]:
        if not catalog.splittable(column):
            return ()
        with self._session(relation.name) as asked:
            return key_cuts(asked, relation, column, parts)

    def own_ranges(self, relation: Relation, parts: int) -> Sequence[Any]:
        """Ranges of pages."""
        with self._session(relation.name) as asked:
            return page_ranges(asked, relation, parts)

    def newest(self, relation: Relation, column: Column, lag: float | str | None) -> Scalar:
        """Times without a zone are interpreted in the server's time zone, like its `now()`."""
        lag_value = _lag(column, lag)
        with self._session(relation.name) as asked:
            if column.kind in TIMES:
                zone = "" if column.kind == "timestamptz" else f" AT TIME ZONE {text_literal(asked.own_zone)}"
                micros = lag_value // timedelta(microseconds=1) if isinstance(lag_value, timedelta) else 0
                moment = f"(now() - {micros} * interval '1 microsecond')"
                return str(asked.of(f"SELECT ({moment}{zone})::{type_sql(column.kind)}::text")[0][0])
            name = quoted(column.name)
            less = f"({name} - {lag_value:f})" if isinstance(lag_value, Decimal) and lag_value else name
            less = f"floor{less}::{type_sql(column.kind)}" if less != name and column.kind in INTEGERS else less
            last = f" FROM {relation.sql} WHERE {name} IS NOT NULL ORDER BY {ALIAS}.{name} DESC LIMIT 1"
            found = asked.of(f"SELECT {less}::text{last}")
            return str(found[0][0]) if found else None

    def without(self, relation: Relation, columns: Sequence[Column]) -> int:
        missing = " OR ".join(f"{quoted(column.name)} IS NULL" for column in columns)
        with self._session(relation.name) as asked:
            rows = f" FROM {relation.sql} WHERE {missing}"
            return int(asked.of(f"SELECT count(*){rows}")[0][0])

    def quote(self, name: str) -> str:
        return quoted(name)

    def literal(self, column: Column, value: Scalar) -> str:
        if value is None:
            return f"NULL::{type_sql(column.kind)}"
        return f"{_text(value)}::{type_sql(column.kind)}"

    def expression(self, asked: Asked) -> str:
        return expression(quoted(asked.column.name), asked.column.kind, as_declared=asked.as_declared)

    def within(self, own: Any) -> str:
        """The condition for pages from the first (inclusive) to the second (exclusive)."""
        match own:
            case [int(low), int(high)]:
                return f"ctid >= '({low},0)'::tid AND ctid < '({high},0)'::tid"
            case [int(low), None]:
                return f"ctid >= '({low},0)'::tid"
        raise SourceError("bad_position", "A range of pages is two numbers.")

    def bound(self, column: Column, bound: Bound) -> str | None:
        """Texts are pushed down for equality only: their order is the database's, not the engine's."""
        name, value = quoted(column.name), bound.value
        match value:
            case bool():
                return None
            case int() | Decimal() if column.kind in NUMBERS - {"float4", "float8"} and Decimal(value).is_finite():
                return (
                    f"{name} {bound.comparison} {Decimal(value):f}::numeric"
                    if _fractional(value)
                    else (f"{name} {bound.comparison} {int(value)}")
                )
            case str() if column.kind in ("text", "varchar") and bound.comparison == "=" and "\0" not in value:
                return f"{name} = {text_literal(value)}"
            case datetime() if column.kind in ("timestamp", "timestamptz"):
                if (value.tzinfo is not None) != (column.kind == "timestamptz"):
                    return None
                return f"{name} {bound.comparison} {self.literal(column, value.isoformat(' '))}"
            case date() if column.kind == "date" and not isinstance(value, datetime):
                return f"{name} {bound.comparison} {self.literal(column, value.isoformat())}"
        return None

    def unreadable(self, column: Column) -> str | None:
        name = quoted(column.name)
        if column.kind in TIMES:
            first, last = (self.literal(column, text) for text in ("0001-01-01", "10000-01-01"))
            return f"{name} < {first} OR {name} >= {last}"
        if column.kind == "time":
            return f"{name} = '24:00'::time"
        if column.kind == "numeric" and column.field.precision is not None:
            return f"{name} = 'NaN'::numeric"
        if column.kind == "numeric":
            whole = MAX_PRECISION - DEFAULT_SCALE
            return f"NOT (abs({name}) < 1e{whole} AND round({name}, {DEFAULT_SCALE}) = {name})"
        return None

    def hold_snapshot(self) -> str | None:
        self.close()
        self._holder, self._process = self._access.connect(), os.getpid()
        try:
            holding = begun(self._holder, "the snapshot", seconds=self._seconds)
            return str(holding.rows("SELECT pg_catalog.pg_export_snapshot()")[0][0])
        except SourceError as error:
            self.close()
            if error.code == "connection_lost":
                raise
            return None

    def read(self, select: Select, *, rows: int, snapshot: str | None) -> Iterator[pl.DataFrame]:
        selected = ", ".join(["1", *(self.expression(each) for each in select.asked)])
        with self._session(select.relation.name, snapshot) as reading:
            if reading.live:
                self.note = f"{select.relation.name}: {_GONE}"
            frames = Frames(select.asked)
            for piece in pieces(reading, f"SELECT {selected}{tail(select, self)}", rows):
                yield frames.frame(piece)

    def passes(self, column: Column) -> bool:
        return passing.passable(column, self.unreadable(column))

    def passes_key(self, column: Column) -> bool:
        return column.kind in passing.KEYS

    def passed(
        self, select: Select, beside: int, *, rows: int, snapshot: str | None
    ) -> Iterator[tuple[pl.DataFrame, list[Scalar]]]:
        """The casts are to the columns' own types, so that one that was altered meanwhile is not taken for another."""
        columns = [each.column for each in select.asked]
        unreadable = [str(self.unreadable(column)) for column in columns if not column.sure]
        selected = [f"{quoted(column.name)}::{type_sql(column.kind)}" for column in columns]
        selected += passing.beside(unreadable, beside)
        names = [column.name for column in columns]
        places = [(names.index(column.name), column.kind) for column in select.order]
        with self._session(select.relation.name, snapshot) as reading:
            if reading.live:
                self.note = f"{select.relation.name}: {_GONE}"
            raw = binary_rows(reading, f"SELECT {', '.join(selected)}{tail(select, self)}", rows)
            for frame in passing.frames(raw, len(selected), beside):
                yield frame, passing.last_values(frame, places)

    def close(self) -> None:
        """Closes the snapshot's connection, except in a forked process, which does not own it."""
        holder, self._holder = self._holder, None
        if holder is not None and self._process == os.getpid():
            holder.close()

    def _session(self, what: str, snapshot: str | None = None) -> AbstractContextManager[Session]:
        return session(self._access, what, seconds=self._seconds, snapshot=snapshot)


def plain_literal(value: Scalar) -> str:
    """A parameter of a query as a literal: a number, or a text whose type the server infers."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int() | float():
            return f"({value!r})"
    return _text(value)


def _text(value: Scalar) -> str:
    text = str(value)
    if "\0" in text:
        raise SourceError("bad_option", "A value holds a NUL character, which PostgreSQL cannot store.")
    return text_literal(text)


def _fractional(value: int | Decimal) -> bool:
    return Decimal(value) != int(value)


def _lag(column: Column, lag: float | str | None) -> Decimal | timedelta | None:
    if lag is None:
        return None
    lag_value = lag_of(lag)
    if column.kind in TIMES:
        return lag_value if isinstance(lag_value, timedelta) else timedelta(seconds=float(lag_value))
    if column.kind in NUMBERS and isinstance(lag_value, Decimal):
        return lag_value
    takes = "a number" if column.kind in NUMBERS else "no lag"
    raise SourceError("bad_option", f"cursor.lag: '{column.name}' is {column.native}, which takes {takes}.")
