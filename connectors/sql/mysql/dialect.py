"""The MySQL and MariaDB dialect of `SqlSource`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.source import Bound, StreamFound
from headrace.connectors.sql.mysql import catalog
from headrace.connectors.sql.mysql.frames import frames
from headrace.connectors.sql.mysql.login import Access, access
from headrace.connectors.sql.mysql.session import SECONDS, Session, session
from headrace.connectors.sql.mysql.statistics import key_cuts
from headrace.connectors.sql.mysql.types import (
    FLOATS,
    INTEGERS,
    MOMENTS,
    NAMED,
    NUMBERS,
    TIMES,
    WEIGHT,
    WEIGHT_NO_PAD,
    expression,
    literal,
    quoted,
    text_literal,
)
from headrace.connectors.sql.query_validation import Query
from headrace.connectors.sql.relation import ALIAS, Column, Relation, Scalar, TableName
from headrace.connectors.sql.select import Asked, Select, tail
from headrace.connectors.sql.settings import lag_of
from headrace.ir.schema import Field

_ZERO = r"^0000|^\d{4}-00|^\d{4}-\d\d-00"
_LONG = r"^-|^\d{3}|^(?:2[4-9]|[3-9]\d):"


class MySqlDialect:
    """Each query has its own connection and reads a consistent snapshot of its start."""

    title = "MySQL"
    parser = "mysql"
    compares_rows = False
    note: str | None = None

    def __init__(self, way: Access, *, seconds: float = SECONDS) -> None:
        self._access, self._seconds = way, seconds

    @classmethod
    def of(cls, context: Context) -> MySqlDialect:
        """Creates the dialect of a source's context. Raises SourceError, or ModuleNotFoundError."""
        import asyncmy  # noqa: F401 - said at once where it is missing

        given = context.settings.get("timeoutSeconds")
        return cls(access(context), seconds=float(given) if isinstance(given, int | float) else SECONDS)

    def table(self, name: TableName) -> Relation:
        with self._session(".".join(name)) as asked:
            return catalog.table(asked, name, self._access.place.database)

    def query(self, query: Query, parameters: dict[str, Scalar]) -> Relation:
        with self._session("the query") as asked:
            return catalog.query(asked, query.bound(parameters, plain_literal))

    def streams(self, text: str) -> Sequence[StreamFound]:
        with self._session("the list of tables") as asked:
            return catalog.streams(asked, text)

    def estimate(self, select: Select) -> int | None:
        with self._session(select.relation.name) as asked:
            return catalog.planned_rows(asked, f"SELECT 1{tail(select, self)}")

    def cuts(self, relation: Relation, column: Column, parts: int) -> Sequence[Scalar]:
        with self._session(relation.name) as asked:
            return key_cuts(asked, relation, column, parts)

    def own_ranges(self, relation: Relation, parts: int) -> Sequence[Any]:
        """Empty: the system has none."""
        del relation, parts
        return ()

    def newest(self, relation: Relation, column: Column, lag: float | str | None) -> Scalar:
        """A datetime is interpreted in the server's time zone, like its `NOW()`."""
        lag_value = _lag(column, lag)
        with self._session(relation.name) as asked:
            if column.kind in TIMES:
                micros = lag_value // timedelta(microseconds=1) if isinstance(lag_value, timedelta) else 0
                now = "UTC_TIMESTAMP(6)" if column.kind == "timestamp" else f"TIMESTAMP{text_literal(asked.now())}"
                moment = f"{now} - INTERVAL {micros} MICROSECOND"
                return str(asked.rows(f"SELECT {f'DATE({moment})' if column.kind == 'date' else moment}")[0][0])
            name = quoted(column.name)
            last = f" FROM {relation.sql} WHERE {name} IS NOT NULL ORDER BY {ALIAS}.{name} DESC LIMIT 1"
            found = asked.rows(f"SELECT {expression(column, as_declared=False)}{last}")
            if not found:
                return None
            value = found[0][0]
            if isinstance(lag_value, Decimal) and lag_value:
                less = Decimal(value) - lag_value
                return str(less.to_integral_value("ROUND_FLOOR") if column.kind in INTEGERS else less)
            return value.hex() if isinstance(value, bytes) else str(value)

    def without(self, relation: Relation, columns: Sequence[Column]) -> int:
        missing = " OR ".join(f"{quoted(column.name)} IS NULL" for column in columns)
        with self._session(relation.name) as asked:
            rows = f" FROM {relation.sql} WHERE {missing}"
            return int(asked.rows(f"SELECT COUNT(*){rows}")[0][0])

    def quote(self, name: str) -> str:
        return quoted(name)

    def literal(self, column: Column, value: Scalar) -> str:
        return literal(column, value)

    def expression(self, asked: Asked) -> str:
        return expression(asked.column, as_declared=asked.as_declared)

    def within(self, own: Any) -> str:
        """Raises SourceError: the system has no own ranges."""
        raise SourceError("bad_position", f"{self.title} has no ranges of its own.")

    def bound(self, column: Column, bound: Bound) -> str | None:
        """Texts are pushed down for equality only: their order is the collation's, not the engine's."""
        name, value = quoted(column.name), bound.value
        match value:
            case bool():
                return None
            case int() | Decimal() if column.kind in NUMBERS - FLOATS and Decimal(value).is_finite():
                return f"{name} {bound.comparison} {Decimal(value):f}"
            case str() if column.kind == "text" and bound.comparison == "=":
                return f"{name} = {text_literal(value)}"
            case datetime() if column.kind in MOMENTS:
                if (value.tzinfo is not None) != (column.kind == "timestamp"):
                    return None
                return f"{name} {bound.comparison} {literal(column, value.isoformat(' '))}"
            case date() if column.kind == "date" and not isinstance(value, datetime):
                return f"{name} {bound.comparison} {literal(column, value.isoformat())}"
        return None

    def unreadable(self, column: Column) -> str | None:
        name = quoted(column.name)
        if column.kind == "time":
            return f"{name} < '00:00:00' OR {name} >= '24:00:00'"
        if column.kind in TIMES:
            last = f"DAYOFMONTH(LAST_DAY(DATE_FORMAT({name}, '%Y-%m-01')))"
            return f"{name} < '0001-01-01' OR MONTH({name}) = 0 OR DAYOFMONTH({name}) NOT BETWEEN 1 AND {last}"
        return None

    def weight(self, relation: Relation, column: Column) -> Column | None:
        if column.kind in NAMED:
            literal(column, "")  # columns of a query cannot be positions
        if column.kind != "text":
            return None
        collation = str(relation.own.get("collations", {}).get(column.name, ""))
        padded = not ("_nopad_" in collation or "_0900_" in collation)
        name = f"__headrace_weight {column.name}"
        return Column(Field(name, "text"), column.name, WEIGHT if padded else WEIGHT_NO_PAD, sure=True)

    def explain(self, rejects: pl.DataFrame, columns: Mapping[str, Column]) -> pl.DataFrame:
        dates = [name for name, column in columns.items() if column.kind in TIMES]
        times = [name for name, column in columns.items() if column.kind == "time"]
        error, value, name = pl.col("error"), pl.col("value"), pl.col("column")
        zero = (
            "; MySQL has here a date without a year, a month or a day: declare the field as text, or read a query with "
            "NULLIF(column, '0000-00-00')"
        )
        long = "; MySQL has here a time of more than a day, or less than none: declare the field as text"
        return rejects.with_columns(
            pl.when(name.is_in(dates) & value.str.contains(_ZERO))
            .then(error + zero)
            .when(name.is_in(times) & value.str.contains(_LONG))
            .then(error + long)
            .otherwise(error)
            .alias("error")
        )

    def hold_snapshot(self) -> str | None:
        """None: connections cannot share a snapshot."""
        return None

    def read(self, select: Select, *, rows: int, snapshot: str | None) -> Iterator[pl.DataFrame]:
        del snapshot
        selected = ", ".join(["1", *(self.expression(each) for each in select.asked)])
        with self._session(select.relation.name) as reading:
            reading.begin(f"SELECT {selected}{tail(select, self)}")
            yield from frames(reading, select.asked, rows)

    def close(self) -> None:
        """Does nothing: no connection is kept open."""

    def _session(self, what: str) -> AbstractContextManager[Session]:
        return session(self._access, what, seconds=self._seconds)


def plain_literal(value: Scalar) -> str:
    """A parameter of a query as a literal."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int() | float():
            return f"({value!r})"
    return text_literal(str(value))


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
