"""The Databricks dialect of `SqlSource`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from headrace.connectors.connector import Context
from headrace.connectors.databricks import catalog
from headrace.connectors.databricks.frames import frame
from headrace.connectors.databricks.login import Access, access
from headrace.connectors.databricks.names import quoted, text_literal
from headrace.connectors.databricks.session import SECONDS, Session, session
from headrace.connectors.databricks.types import (
    INTEGERS,
    NUMBERS,
    ORDERED,
    TEXTS,
    TIMES,
    expression,
    literal,
    unordered,
)
from headrace.connectors.errors import SourceError
from headrace.connectors.source import Bound, StreamFound
from headrace.connectors.sql.columns import scalar
from headrace.connectors.sql.query_validation import Query
from headrace.connectors.sql.relation import ALIAS, Column, Relation, Scalar, TableName
from headrace.connectors.sql.select import Asked, Select, tail
from headrace.connectors.sql.settings import lag_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DatabricksDialect:
    """Each query has its own session. Partitions of a Delta table read the same version."""

    title = "Databricks"
    parser = "databricks"
    compares_rows = False

    def __init__(self, way: Access, *, seconds: float = SECONDS) -> None:
        self.note: str | None = None
        self.place = way.place
        self._access, self._seconds = way, seconds
        self._known: Relation | None = None

    @classmethod
    def of(cls, context: Context) -> DatabricksDialect:
        """Creates the dialect of a source's context. Raises SourceError."""
        given = context.settings.get("timeoutSeconds")
        return cls(access(context), seconds=float(given) if isinstance(given, int | float) else SECONDS)

    def table(self, name: TableName) -> Relation:
        with self.session() as asked:
            bare = tuple(part.removeprefix("`").removesuffix("`") for part in name)
            self._known = catalog.table(asked, catalog.full_name(asked, bare))
        return self._known

    def query(self, query: Query, parameters: dict[str, Scalar]) -> Relation:
        with self.session() as asked:
            self._known = catalog.query(asked, query.bound(parameters, _plain))
        return self._known

    def streams(self, text: str) -> Sequence[StreamFound]:
        with self.session() as asked:
            return catalog.streams(asked, text)

    def estimate(self, select: Select) -> int | None:
        """None: the planner's estimates are not available."""
        del select
        return None

    def cuts(self, relation: Relation, column: Column, parts: int) -> Sequence[Scalar]:
        """Cuts from percentiles, for which the warehouse reads the column."""
        if column.kind not in INTEGERS | {"decimal"}:
            return ()
        shares = ", ".join(f"{place / parts!r}D" for place in range(1, parts))
        with self.session() as asked:
            rows = f" FROM {relation.sql}"
            found = asked.rows(
                f"SELECT approx_percentile({quoted(column.name)}, array({shares})) AS cuts{rows}", relation.name
            )
        cuts = found[0][0] if found else None
        values = json.loads(cuts) if isinstance(cuts, str) else list(cuts or ())
        return [str(each) for each in sorted({Decimal(str(value)) for value in values if value is not None})]

    def own_ranges(self, relation: Relation, parts: int) -> Sequence[Any]:
        """Empty: the system has none."""
        del relation, parts
        return ()

    def newest(self, relation: Relation, column: Column, lag: float | str | None) -> Scalar:
        """The current time is the server's; times without a zone are interpreted as UTC."""
        if column.kind not in ORDERED:
            raise unordered(column)
        lag_value = _lag(column, lag)
        with self.session() as asked:
            if column.kind in TIMES:
                now = asked.rows("SELECT unix_micros(current_timestamp()) AS now", "the present")[0][0]
                less = lag_value if isinstance(lag_value, timedelta) else timedelta()
                return _moment(column, _EPOCH + timedelta(microseconds=int(now)) - less)
            rows = f" FROM {relation.sql}"
            found = asked.rows(f"SELECT MAX({quoted(column.name)}) AS newest{rows}", relation.name)[0][0]
        if found is None or not isinstance(lag_value, Decimal) or not lag_value:
            return scalar(found)
        return str(Decimal(str(found)) - lag_value)

    def without(self, relation: Relation, columns: Sequence[Column]) -> int:
        missing = " OR ".join(f"{quoted(column.name)} IS NULL" for column in columns)
        rows = f" FROM {relation.sql} WHERE {missing}"
        with self.session() as asked:
            return int(asked.rows(f"SELECT COUNT(*) AS missing{rows}", relation.name)[0][0])

    def quote(self, name: str) -> str:
        return quoted(name)

    def literal(self, column: Column, value: Scalar) -> str:
        return literal(column, value)

    def expression(self, asked: Asked) -> str:
        """The expression of a column, whatever its declared type: values arrive as Arrow."""
        return expression(asked.column)

    def within(self, own: Any) -> str:
        """Raises SourceError: the system has no own ranges."""
        raise SourceError("bad_position", "Databricks has no ranges of its own.")

    def bound(self, column: Column, bound: Bound) -> str | None:
        """Texts are pushed down: both sides compare bytes."""
        name, value = quoted(column.name), bound.value
        if isinstance(value, bool):
            return None
        if isinstance(value, int | Decimal) and column.kind in INTEGERS | {"decimal"}:
            return (
                f"{name} {bound.comparison} {value:d}"
                if isinstance(value, int)
                else f"{name} {bound.comparison} {value:f}BD"
            )
        if isinstance(value, str) and column.kind in TEXTS - {"char"} and "\0" not in value:
            return f"{name} {bound.comparison} {text_literal(value)}"
        if isinstance(value, datetime) and column.kind in ("timestamp", "timestamp_ntz"):
            return f"{name} {bound.comparison} {literal(column, _moment(column, value))}"
        if isinstance(value, date) and not isinstance(value, datetime) and column.kind == "date":
            return f"{name} {bound.comparison} {literal(column, value.isoformat())}"
        return None

    def unreadable(self, column: Column) -> str | None:
        """The condition for years that do not have four digits."""
        if column.kind not in TIMES:
            return None
        last = "9999-12-31" if column.kind == "date" else "9999-12-31 23:59:59.999999"
        first, last = literal(column, "0001-01-01"), literal(column, last)
        return f"{quoted(column.name)} < {first} OR {quoted(column.name)} > {last}"

    def hold_snapshot(self) -> str | None:
        """The version of a Delta table, which is kept for some days."""
        if self._known is None:
            return None
        try:
            with self.session() as asked:
                found = catalog.version(asked, self._known)
        except SourceError as error:
            if error.code == "connection_lost":
                raise
            return None
        return None if found is None else str(found)

    def read(self, select: Select, *, rows: int, snapshot: str | None) -> Iterator[pl.DataFrame]:
        """The relation at the partition's version, if it has one."""
        table = select.relation.own.get("delta")
        if snapshot is not None and table is not None:
            sql = f"{table} VERSION AS OF {int(snapshot)} AS {ALIAS}"
            select = replace(select, relation=replace(select.relation, sql=sql))
        asked = ", ".join(
            ["1 AS one", *(f"{self.expression(each)} AS {quoted(each.column.name)}" for each in select.asked)]
        )
        with self.session() as reading:
            for found in reading.tables(f"SELECT {asked}{tail(select, self)}", select.relation.name, rows):
                yield frame(found, select.asked)

    def session(self) -> AbstractContextManager[Session]:
        """Opens a session."""
        return session(self._access, seconds=self._seconds)

    def close(self) -> None:
        """Does nothing: no connection is kept open."""


def _plain(value: Scalar) -> str:
    """A parameter of a query as a literal."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int():
            return f"({value})"
        case float():
            return f"CAST({text_literal(repr(value))} AS DOUBLE)"
    if "\0" in value:
        raise SourceError("bad_option", "A parameter holds a NUL character.")
    return text_literal(value)


def _moment(column: Column, moment: datetime) -> str:
    if column.kind == "date":
        return moment.date().isoformat()
    if column.kind == "timestamp":
        return moment.isoformat(" ")
    return moment.replace(tzinfo=None).isoformat(" ")


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
