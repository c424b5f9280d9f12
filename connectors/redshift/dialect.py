"""The Redshift dialect of `SqlSource`: names, literals, ranges, cursors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.redshift import catalog
from headrace.connectors.redshift.frames import PIECE_BYTES, frame
from headrace.connectors.redshift.login import Access, access
from headrace.connectors.redshift.session import RedshiftSession, session
from headrace.connectors.redshift.types import (
    NUMBERS,
    TEXTS,
    TIMES,
    WEIGHT,
    WHOLE,
    literal,
    quoted,
    selected,
    text_literal,
)
from headrace.connectors.source import Bound, StreamFound
from headrace.connectors.sql.postgresql.session import SECONDS
from headrace.connectors.sql.query_validation import Query
from headrace.connectors.sql.relation import Column, Relation, Scalar, TableName
from headrace.connectors.sql.select import Asked, Select, rendered, tail
from headrace.connectors.sql.settings import lag_of
from headrace.ir.schema import Field

_PUBLIC = "public"
_DIGITS = 38


class RedshiftDialect:
    """Each query has its own connection. No snapshot is shared, and no key is enforced."""

    title = "Redshift"
    parser = "redshift"
    compares_rows = False

    def __init__(self, way: Access, *, seconds: float = SECONDS) -> None:
        self.note: str | None = None
        self.access, self.seconds = way, seconds

    @classmethod
    def of(cls, context: Context) -> RedshiftDialect:
        """Creates the dialect of a source's context. Raises SourceError."""
        given = context.settings.get("timeoutSeconds")
        return cls(access(context), seconds=float(given) if isinstance(given, int | float) else SECONDS)

    def table(self, name: TableName) -> Relation:
        place = self.access.place
        full = catalog.full_name(name, place.database, place.schema_ or _PUBLIC)
        with session(self.access, ".".join(full), seconds=self.seconds, cased=catalog.cased(full)) as asked:
            return catalog.table(asked, full)

    def query(self, query: Query, parameters: dict[str, Scalar]) -> Relation:
        with session(self.access, "the query", seconds=self.seconds) as asked:
            return catalog.query(asked, query.bound(parameters, _parameter))

    def streams(self, text: str) -> Sequence[StreamFound]:
        with session(self.access, "the list of tables", seconds=self.seconds) as asked:
            return catalog.streams(asked, text)

    def estimate(self, select: Select) -> int | None:
        with self._session(select.relation) as asked:
            return catalog.planned_rows(asked, tail(select, self))

    def cuts(self, relation: Relation, column: Column, parts: int) -> Sequence[Scalar]:
        """Equal-width ranges of whole numbers: the least and the greatest are in the zone maps."""
        if column.kind not in WHOLE:
            return ()
        name = quoted(column.name)
        with self._session(relation) as asked:
            rows = f" FROM {relation.sql}"
            [(least, most)] = asked.of(f"SELECT MIN({name}), MAX({name}){rows}")
        if least is None:
            return ()
        first, width = int(least), int(most) - int(least) + 1
        points = [first + width * part // parts for part in range(1, parts)]
        return [each for each in dict.fromkeys(points) if each > first]

    def own_ranges(self, relation: Relation, parts: int) -> Sequence[Any]:
        """Empty: the system has none."""
        del relation, parts
        return ()

    def newest(self, relation: Relation, column: Column, lag: float | str | None) -> Scalar:
        """Times without a zone are interpreted as UTC, the default time zone of a cluster."""
        lag_value = _lag(column, lag)
        with self._session(relation) as asked:
            if column.kind in TIMES:
                moment = datetime.fromisoformat(str(asked.of("SELECT GETDATE()::varchar(64)")[0][0])[:19])
                moment -= lag_value if isinstance(lag_value, timedelta) else timedelta()
                zone = "+00" if column.kind == "timestamptz" else ""
                return moment.date().isoformat() if column.kind == "date" else f"{moment.isoformat(' ')}{zone}"
            rows = f" FROM {relation.sql}"
            asked_of = Asked(replace(column, kind="varchar") if column.kind in TEXTS else column)
            newest = f"MAX({quoted(column.name)})"
            found = asked.of(f"SELECT {selected(newest, asked_of.column.kind, as_declared=False)}{rows}")[0][0]
        if found is None or not isinstance(lag_value, Decimal) or not lag_value:
            return None if found is None else str(found)
        less = Decimal(str(found)) - lag_value
        return str(int(less // 1)) if column.kind in WHOLE else f"{less:f}"

    def without(self, relation: Relation, columns: Sequence[Column]) -> int:
        missing = " OR ".join(f"{quoted(column.name)} IS NULL" for column in columns)
        with self._session(relation) as asked:
            rows = f" FROM {relation.sql} WHERE {missing}"
            return int(asked.of(f"SELECT COUNT(*){rows}")[0][0])

    def quote(self, name: str) -> str:
        return quoted(name)

    def literal(self, column: Column, value: Scalar) -> str:
        return literal(column, value)

    def expression(self, asked: Asked) -> str:
        name = asked.column.name
        of = asked.column.kind.removeprefix(WEIGHT) if asked.column.kind.startswith(WEIGHT) else name
        return selected(quoted(of), asked.column.kind, as_declared=asked.as_declared)

    def weight(self, relation: Relation, column: Column) -> Column | None:
        """Trailing blanks are ignored in comparisons, and letter case under some collations."""
        if column.kind not in TEXTS:
            literal(column, "0" if column.kind in NUMBERS else "")
            return None
        names = {each.name for each in relation.columns}
        name = f"weight {column.name}"
        while name in names:
            name = f"{name}_"
        return Column(Field(name, "text"), "varchar", f"{WEIGHT}{column.name}", sure=True)

    def within(self, own: Any) -> str:
        """Raises SourceError: the system has no own ranges."""
        raise SourceError("bad_position", "Redshift has no ranges of its own.")

    def bound(self, column: Column, bound: Bound) -> str | None:
        """Texts are pushed down for equality only: the server treats more texts as equal than the engine, never
        fewer."""
        name, value = quoted(column.name), bound.value
        match value:
            case bool():
                return None
            case int() | Decimal() if column.kind in (*WHOLE, "numeric") and _written(value) is not None:
                return f"{name} {bound.comparison} {_written(value)}"
            case str() if column.kind in ("varchar", "text") and bound.comparison == "=" and "\0" not in value:
                return f"{name} = {text_literal(value)}"
            case datetime() if column.kind in ("timestamp", "timestamptz"):
                if (value.tzinfo is not None) != (column.kind == "timestamptz"):
                    return None
                return f"{name} {bound.comparison} {literal(column, value.isoformat(' '))}"
            case date() if column.kind == "date" and not isinstance(value, datetime):
                return f"{name} {bound.comparison} {literal(column, value.isoformat())}"
        return None

    def unreadable(self, column: Column) -> str | None:
        name = quoted(column.name)
        if column.kind in TIMES:
            return f"{name} < {literal(column, '0001-01-01')} OR {name} >= {literal(column, '10000-01-01')}"
        return f"{name} = '24:00:00'::time" if column.kind == "time" else None

    def hold_snapshot(self) -> str | None:
        """None: connections cannot share a snapshot."""
        return None

    def read(self, select: Select, *, rows: int, snapshot: str | None) -> Iterator[pl.DataFrame]:
        """The rows of a SELECT."""
        del snapshot
        asked = tuple(select.asked)
        pieces: list[pl.DataFrame] = []
        held = 0
        with self._session(select.relation) as reading:
            for piece in reading.texts(rendered(select, self)):
                left = piece
                while left.height:
                    room = rows - sum(each.height for each in pieces)
                    pieces.append(left.head(room))
                    held += int(pieces[-1].estimated_size())
                    left = left.slice(room)
                    if held >= PIECE_BYTES or sum(each.height for each in pieces) == rows:
                        yield frame(pl.concat(pieces), asked)
                        pieces, held = [], 0
        if pieces:
            yield frame(pl.concat(pieces), asked)

    def close(self) -> None:
        """Does nothing: no connection is kept open."""

    def _session(self, relation: Relation) -> AbstractContextManager[RedshiftSession]:
        return session(self.access, relation.name, seconds=self.seconds, cased=bool(relation.own.get("cased")))


def _written(value: int | Decimal) -> str | None:
    """A number as a SQL literal; None if it has more digits than Redshift compares."""
    number = Decimal(value)
    if not number.is_finite():
        return None
    text = f"{number:f}"
    return text if sum(each.isdigit() for each in text) <= _DIGITS else None


def _parameter(value: Scalar) -> str:
    """A parameter of a query as a literal: a number, or a text whose type the server infers."""
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
