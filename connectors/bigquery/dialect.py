"""The BigQuery dialect of `SqlSource`: names, literals, cursors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from headrace.connectors.bigquery import catalog
from headrace.connectors.bigquery.frames import frame
from headrace.connectors.bigquery.jobs import SECONDS, Jobs, Statement
from headrace.connectors.bigquery.login import Access, access
from headrace.connectors.bigquery.names import quoted
from headrace.connectors.bigquery.rest import Rest
from headrace.connectors.bigquery.storage import Storage
from headrace.connectors.bigquery.types import NUMBERS, ORDERED, TIMES, literal, unordered
from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.source import Bound, StreamFound
from headrace.connectors.sql.query_validation import Query
from headrace.connectors.sql.relation import Column, Relation, Scalar, TableName
from headrace.connectors.sql.select import Asked, Select, rendered
from headrace.connectors.sql.settings import lag_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class BigQueryDialect:
    """Not split by keys: the streams of a session are the partitions."""

    title = "BigQuery"
    parser = "bigquery"
    compares_rows = False

    def __init__(self, way: Access, *, seconds: float = SECONDS, most_bytes: int | None = None) -> None:
        self.note: str | None = None
        self.place = way.place
        self.rest = Rest(way)
        self.jobs = Jobs(self.rest, way.place, seconds=seconds, most_bytes=most_bytes)
        self.storage = Storage(way)
        self._bound: dict[str, Scalar] = {}

    @classmethod
    def of(cls, context: Context) -> BigQueryDialect:
        """Creates the dialect of a source's context. Raises SourceError."""
        seconds, most = context.settings.get("timeoutSeconds"), context.settings.get("maximumBytesBilled")
        return cls(
            access(context),
            seconds=float(seconds) if isinstance(seconds, int | float | str) else SECONDS,
            most_bytes=int(most) if isinstance(most, int | str) else None,
        )

    def table(self, name: TableName) -> Relation:
        """The table's full name, completed from the connection."""
        whole = (*(self.place.project, self.place.dataset)[: 3 - len(name)], *name)
        return catalog.table(self.rest, whole)

    def query(self, query: Query, parameters: dict[str, Scalar]) -> Relation:
        """The query with parameters that the server binds: `:name` becomes `@name`."""
        self._bound = {name: parameters[name] for name in query.names}
        return catalog.query(self.jobs, Statement(_with_names(query), self._bound))

    def streams(self, text: str) -> Sequence[StreamFound]:
        """The tables and views of the connection's dataset."""
        return catalog.streams(self.rest, self.place.project, self.place.dataset, text)

    def statement(self, select: Select) -> Statement:
        """A statement with the bound values of its query."""
        return Statement(rendered(select, self), self._bound)

    def estimate(self, select: Select) -> int | None:
        """The number of rows is known with the result only."""
        del select
        return None

    def cuts(self, relation: Relation, column: Column, parts: int) -> Sequence[Scalar]:
        """Empty: the system has none."""
        del relation, column, parts
        return ()

    def own_ranges(self, relation: Relation, parts: int) -> Sequence[Any]:
        """Empty: the system has none."""
        del relation, parts
        return ()

    def newest(self, relation: Relation, column: Column, lag: float | str | None) -> Scalar:
        """The current time is the server's; DATETIME and DATE are interpreted as UTC."""
        if column.kind not in ORDERED:
            raise unordered(column)
        lag_value = _lag(column, lag)
        if column.kind in TIMES:
            [[now]] = self.jobs.rows(Statement("SELECT UNIX_MICROS(CURRENT_TIMESTAMP()) AS now"), "the present")
            less = lag_value if isinstance(lag_value, timedelta) else timedelta()
            return _moment(column, _EPOCH + timedelta(microseconds=int(now)) - less)
        rows = f" FROM {relation.sql}"
        asked = f"SELECT CAST(MAX({quoted(column.name)}) AS STRING) AS newest{rows}"
        [[found]] = self.jobs.rows(Statement(asked, self._bound), relation.name)
        if found is None or not isinstance(lag_value, Decimal) or not lag_value:
            return None if found is None else str(found)
        return str(Decimal(str(found)) - lag_value)

    def without(self, relation: Relation, columns: Sequence[Column]) -> int:
        missing = " OR ".join(f"{quoted(column.name)} IS NULL" for column in columns)
        rows = f" FROM {relation.sql} WHERE {missing}"
        [[count]] = self.jobs.rows(Statement(f"SELECT COUNT(*) AS missing{rows}", self._bound), relation.name)
        return int(count)

    def quote(self, name: str) -> str:
        return quoted(name)

    def literal(self, column: Column, value: Scalar) -> str:
        return literal(column, value)

    def expression(self, asked: Asked) -> str:
        """The expression of a column, whatever its declared type: values arrive in the server's binary format."""
        return quoted(asked.column.name)

    def within(self, own: Any) -> str:
        """Raises SourceError: the system has no own ranges."""
        raise SourceError("bad_position", "BigQuery has no ranges of its own.")

    def bound(self, column: Column, bound: Bound) -> str | None:
        """Texts are pushed down unless the column has a collation: both sides compare bytes."""
        value = bound.value
        if column.kind in ("INT64", "NUMERIC") and isinstance(value, int | Decimal):
            said = f"{value:d}" if isinstance(value, int) else f"{value:f}"
            return f"{quoted(column.name)} {bound.comparison} {_number(said)}"
        exact = column.kind == "STRING" or (column.kind == "STRING_COLLATED" and bound.comparison == "=")
        if exact and isinstance(value, str) and "\0" not in value:
            return f"{quoted(column.name)} {bound.comparison} {literal(column, value)}"
        if isinstance(value, datetime) and column.kind in ("TIMESTAMP", "DATETIME"):
            return f"{quoted(column.name)} {bound.comparison} {literal(column, _moment(column, value))}"
        if isinstance(value, date) and not isinstance(value, datetime) and column.kind == "DATE":
            return f"{quoted(column.name)} {bound.comparison} {literal(column, value.isoformat())}"
        return None

    def unreadable(self, column: Column) -> str | None:
        """None: conditions on columns that are not `sure` are not pushed down."""
        del column
        return None

    def hold_snapshot(self) -> str | None:
        """None: a session reads one snapshot anyway."""
        return None

    def read(self, select: Select, *, rows: int, snapshot: str | None) -> Iterator[pl.DataFrame]:
        """Executes the statement and returns its rows at once, for previews."""
        del snapshot
        what = select.relation.name
        columns, described = [asked.column for asked in select.asked], catalog.described(select.relation)
        result = self.jobs.run(self.statement(select), what)
        session = self.storage.session(result.path, what, columns, streams=1)
        for stream in session.streams:
            for records in self.storage.batches(stream, 0, what, session.expires):
                for start in range(0, records.num_rows, rows):
                    yield frame(records.slice(start, rows), columns, described)

    def close(self) -> None:
        self.storage.close()


def _with_names(query: Query) -> str:
    text = [query.pieces[0]]
    for name, piece in zip(query.names, query.pieces[1:], strict=True):
        text += [f"@{name}", piece]
    return "".join(text)


def _number(text: str) -> str:
    return text if text.lstrip("-").isdigit() and len(text) <= 18 else f"BIGNUMERIC '{text}'"


def _moment(column: Column, moment: datetime) -> str:
    if column.kind == "DATE":
        return moment.date().isoformat()
    text = moment.replace(tzinfo=None).isoformat(" ", "microseconds")
    return f"{text}+00" if column.kind == "TIMESTAMP" else text


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
