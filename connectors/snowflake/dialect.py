"""The Snowflake dialect of `SqlSource`: names, literals, cursors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.snowflake import catalog
from headrace.connectors.snowflake.frames import frame
from headrace.connectors.snowflake.login import Access, access
from headrace.connectors.snowflake.names import folded, quoted
from headrace.connectors.snowflake.session import SECONDS, Session, Statement
from headrace.connectors.snowflake.types import NUMBERS, STAMPS, TIMES, cast_name, expression, literal
from headrace.connectors.source import Bound, StreamFound
from headrace.connectors.sql.columns import scalar
from headrace.connectors.sql.query_validation import Query
from headrace.connectors.sql.relation import Column, Relation, Scalar, TableName
from headrace.connectors.sql.select import Asked, Select, rendered
from headrace.connectors.sql.settings import lag_of

PUBLIC = "PUBLIC"


class SnowflakeDialect:
    """Not split by keys: the batches of a result are the partitions."""

    title = "Snowflake"
    parser = "snowflake"
    compares_rows = False

    def __init__(self, way: Access, *, seconds: float = SECONDS) -> None:
        self.note: str | None = None
        self.place = way.place
        self.session = Session(way, seconds=seconds)
        self._bound: tuple[Scalar, ...] = ()

    @classmethod
    def of(cls, context: Context) -> SnowflakeDialect:
        """Creates the dialect of a source's context. Raises SourceError."""
        given = context.settings.get("timeoutSeconds")
        return cls(access(context), seconds=float(given) if isinstance(given, int | float) else SECONDS)

    @property
    def database(self) -> str:
        """The connection's schema, as its stored name."""
        return folded(self.place.database)

    def table(self, name: TableName) -> Relation:
        """The stored name."""
        return catalog.table(self.session, catalog.full_name(name, self.database, folded(self.place.schema_ or PUBLIC)))

    def query(self, query: Query, parameters: dict[str, Scalar]) -> Relation:
        """The query with parameters that the server binds."""
        self._bound = tuple(parameters[name] for name in query.names)
        return catalog.query(self.session, Statement(query.bound(parameters, lambda _: "?"), self._bound))

    def streams(self, text: str) -> Sequence[StreamFound]:
        """The tables and views of the connection's database."""
        return catalog.streams(self.session, self.database, text)

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
        """Times without a zone are interpreted in the session's time zone: the user's, or the account's."""
        lag_value = _lag(column, lag)
        name = quoted(column.name)
        if column.kind in TIMES:
            micros = lag_value // timedelta(microseconds=1) if isinstance(lag_value, timedelta) else 0
            asked = f"SELECT DATEADD(microsecond, {-micros}, CURRENT_TIMESTAMP())::{cast_name(column)} AS {name}"
            return self._one(Statement(asked), column, relation.name)
        rows = f" FROM {relation.sql}"
        asked = f"SELECT MAX({name}) AS {name}{rows}"
        found = self._one(Statement(asked, self._bound), column, relation.name)
        if found is None or not isinstance(lag_value, Decimal) or not lag_value:
            return found
        less = Decimal(str(found)) - lag_value
        return float(less) if column.kind == "float" else str(less)

    def without(self, relation: Relation, columns: Sequence[Column]) -> int:
        missing = " OR ".join(f"{quoted(column.name)} IS NULL" for column in columns)
        rows = f" FROM {relation.sql} WHERE {missing}"
        asked = Statement(f"SELECT COUNT(*){rows}", self._bound)
        return int(self.session.rows(asked, relation.name)[0][0])

    def quote(self, name: str) -> str:
        return quoted(name)

    def literal(self, column: Column, value: Scalar) -> str:
        return literal(column, value)

    def expression(self, asked: Asked) -> str:
        """The expression of a column, whatever its declared type: values arrive in the server's binary format."""
        return expression(asked.column)

    def within(self, own: Any) -> str:
        """Raises SourceError: the system has no own ranges."""
        raise SourceError("bad_position", "Snowflake has no ranges of its own.")

    def bound(self, column: Column, bound: Bound) -> str | None:
        """Of texts only equality: a collation of the column may order them otherwise, and finds more of them equal."""
        value, kind = bound.value, column.kind
        fits = (
            (kind == "number" and isinstance(value, int | Decimal))
            or (kind == "text" and bound.comparison == "=" and isinstance(value, str) and "\0" not in value)
            or (kind == "date" and isinstance(value, date) and not isinstance(value, datetime))
            or (kind in STAMPS and isinstance(value, datetime))
        )
        if not fits:
            return None
        said = f"{value:f}" if isinstance(value, Decimal) else scalar(value)
        return f"{quoted(column.name)} {bound.comparison} {literal(column, said)}"

    def unreadable(self, column: Column) -> str | None:
        del column
        return None

    def hold_snapshot(self) -> str | None:
        """None: a query reads one snapshot anyway."""
        return None

    def read(self, select: Select, *, rows: int, snapshot: str | None) -> Iterator[pl.DataFrame]:
        """Executes the statement and returns its rows at once, for previews."""
        del snapshot
        what, columns = select.relation.name, tuple(asked.column for asked in select.asked)
        result = self.session.run(self.statement(select), what)
        for batch in self.session.batches(result.query_id, what):
            for records in self.session.records(batch, what):
                for start in range(0, records.num_rows, rows):
                    yield frame(records.slice(start, rows), columns)

    def close(self) -> None:
        self.session.close()

    def _one(self, statement: Statement, column: Column, what: str) -> Scalar:
        """The one value of a statement, with all its digits."""
        result = self.session.run(statement, what)
        for batch in self.session.batches(result.query_id, what):
            for records in self.session.records(batch, what):
                if records.num_rows:
                    return scalar(frame(records, (column,)).row(0)[0])
        return None


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
