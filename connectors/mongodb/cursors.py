"""Incremental reading: from the position after the last run's end up to the present, by one field and `_id`.

Comparisons are of a filter, so that an index of the field is used; they are made within the type of the newest value.
Lists are left out: each of their elements would be compared.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.connectors.mongodb.bson.layout import ALIASES, Kind
from headrace.connectors.mongodb.bson.table import Table
from headrace.connectors.mongodb.extended_json import NoValue, date_of, decimal_of, object_id_of
from headrace.connectors.mongodb.raw import Value, python_value, sendable, value_of
from headrace.connectors.mongodb.session import Session
from headrace.connectors.mongodb.settings import MongoCursor
from headrace.connectors.sql.settings import lag_of

_NUMBERS = (Kind.DOUBLE, Kind.INT32, Kind.INT64, Kind.DECIMAL)
_BRACKETS: dict[int, tuple[str, ...]] = {
    **dict.fromkeys(_NUMBERS, ("number",)),
    Kind.STRING: ("string", "symbol"),
    Kind.SYMBOL: ("string", "symbol"),
    Kind.OBJECT_ID: ("objectId",),
    Kind.DATE: ("date",),
}
"""For each type, the types that it is comparable with."""


@dataclass(frozen=True, slots=True)
class Present:
    """The greatest value to read (inclusive), and the number of documents without a comparable value."""

    upto: Value
    others: int


def present(session: Session, name: str, cursor: MongoCursor, only: Mapping[str, Any]) -> Present | None:
    """The end of reading; None if there is nothing to read. Raises SourceError(`bad_option`)."""
    column = cursor.column
    there = {"$and": [only, {column: {"$ne": None}}, {column: {"$not": {"$type": "array"}}}]}
    projection = {"_id": 1, column: 1}
    text = b"".join(session.raw(name, there, projection=projection, order=[(column, -1)], limit=1))
    found = Table.of(text, [column.encode()]).element(column.encode(), 0) if text else None
    if found is None:
        return None
    newest = Value(*found)
    if newest.kind not in _BRACKETS:
        raise SourceError(
            "bad_option",
            f"cursor.column: '{column}' has a value of the type {ALIASES[Kind(newest.kind)]}, which has no order.",
            "Use a field of dates, numbers, texts or ObjectIds.",
        )
    others = {"$or": [{column: {"$not": {"$type": list(_BRACKETS[newest.kind])}}}, {column: {"$type": "array"}}]}
    counted = session.aggregated(name, [{"$match": {"$and": [only, others]}}, {"$count": "rows"}])
    return Present(_upto(session, newest, cursor), int(counted[0]["rows"]) if counted else 0)


def conditions(column: str, upto: Value, since: Value | None) -> list[Mapping[str, Any]]:
    """The filter for documents from `since` to `upto`, both inclusive, for `$and`."""
    bounds = [("$lte", upto)] if since is None else [("$gte", since), ("$lte", upto)]
    return [{column: sendable(bounds)}, {column: {"$type": list(_BRACKETS[upto.kind]), "$not": {"$type": "array"}}}]


def comparable(one: Value, other: Value) -> bool:
    """Whether the server compares the two types in a filter."""
    return _BRACKETS.get(one.kind) is not None and _BRACKETS.get(one.kind) == _BRACKETS.get(other.kind)


def initial_value(cursor: MongoCursor, upto: Value) -> Value | None:
    """`initial` as a value of the cursor's type. Raises SourceError(`bad_option`)."""
    given = cursor.initial
    if given is None:
        return None
    try:
        match upto.kind:
            case Kind.DATE:
                made: Any = date_of(str(given))
            case Kind.OBJECT_ID:
                made = object_id_of(str(given))
            case Kind.STRING | Kind.SYMBOL:
                made = str(given)
            case _ if isinstance(given, int | float) and not isinstance(given, bool):
                made = given
            case _:
                made = decimal_of(str(given))
        return value_of(made)
    except (NoValue, InvalidOperation, OverflowError) as error:
        said = f"expected: {error}" if isinstance(error, NoValue) else "It does not fit."
        message = f"cursor.initial: '{given}' is not a value of '{cursor.column}'."
        raise SourceError("bad_option", message, said) from None


def _upto(session: Session, newest: Value, cursor: MongoCursor) -> Value:
    lag = None if cursor.lag is None else lag_of(cursor.lag)
    if newest.kind in (Kind.DATE, Kind.OBJECT_ID):
        lag_value = lag if isinstance(lag, timedelta) else timedelta(seconds=float(lag or 0))
        if newest.kind == Kind.OBJECT_ID and lag is None:
            return newest
        now = _now(session) - lag_value
        if newest.kind == Kind.DATE:
            return Value(Kind.DATE, struct.pack("<q", int(now.timestamp() * 1000)))
        return Value(Kind.OBJECT_ID, struct.pack(">I", max(0, int(now.timestamp()))) + bytes(8))
    if lag is None or not lag:
        return newest
    if newest.kind not in _NUMBERS or not isinstance(lag, Decimal):
        takes = "a number" if newest.kind in _NUMBERS else "no lag"
        kind = ALIASES[Kind(newest.kind)]
        raise SourceError("bad_option", f"cursor.lag: '{cursor.column}' is of the type {kind}, which takes {takes}.")
    value = python_value(newest)
    if newest.kind == Kind.DECIMAL:
        return value_of(decimal_of(str(value.to_decimal() - lag)))
    if newest.kind == Kind.DOUBLE:
        return value_of(float(value) - float(lag))
    return value_of(decimal_of(str(Decimal(int(value)) - lag)))


def _now(session: Session) -> datetime:
    """The server's current time."""
    answer = session.command("the server's time", "hello", database="admin").get("localTime")
    return answer.replace(tzinfo=UTC) if isinstance(answer, datetime) else datetime.now(UTC)
