"""Values of a filter: JSON, and MongoDB's Extended JSON for types that JSON lacks (`{"$oid": …}`, `{"$date": …}`)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, DecimalException
from typing import Any
from uuid import UUID

_OID = re.compile(r"[0-9a-fA-F]{24}")
_INT64 = 1 << 63


class NoValue(ValueError):
    """The value is not valid Extended JSON. The message says what is expected."""


def value_of(wrapper: Mapping[str, Any]) -> Any:
    """The driver's value of an object with one of these keys. Raises NoValue."""
    [(name, given)] = wrapper.items()
    return WRAPPERS[name](given)


def plain_number(value: int) -> Any:
    """A whole number of JSON as Int64. Raises NoValue if it has more than 64 bits."""
    if not -_INT64 <= value < _INT64:
        raise NoValue("a whole number of 64 bits; write others as $numberDecimal")
    return value


def date_of(text: str) -> datetime:
    """Parses ISO 8601, as UTC without an offset. Raises NoValue."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise NoValue("a date as in 2024-01-31T10:00:00Z") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def object_id_of(text: str) -> Any:
    """Raises NoValue."""
    from bson import ObjectId

    if not _OID.fullmatch(text):
        raise NoValue("24 hexadecimal digits")
    return ObjectId(text)


def decimal_of(text: str) -> Any:
    """Raises NoValue."""
    from bson.decimal128 import Decimal128, create_decimal128_context

    try:
        written = create_decimal128_context().create_decimal(text.strip())
        exact = written.is_nan() or written == Decimal(text.strip())
    except (DecimalException, ValueError):
        exact = False
    if not exact:
        raise NoValue("a decimal number of 34 digits at most")
    return Decimal128(written)


def _text(given: object) -> str:
    if not isinstance(given, str):
        raise NoValue("text")
    return given


def _date(given: object) -> Any:
    from bson.datetime_ms import DatetimeMS

    if isinstance(given, Mapping) and set(given) == {"$numberLong"}:
        return DatetimeMS(_long(given["$numberLong"]))
    return date_of(_text(given))


def _long(given: object) -> Any:
    from bson import Int64

    try:
        return Int64(plain_number(int(_text(given))))
    except (NoValue, ValueError):
        raise NoValue("a whole number of 64 bits, as text") from None


def _int(given: object) -> int:
    found = int(_long(given))
    if not -(1 << 31) <= found < 1 << 31:
        raise NoValue("a whole number of 32 bits, as text")
    return found


def _double(given: object) -> float:
    try:
        return float(_text(given))
    except ValueError:
        raise NoValue("a number as text, or NaN, Infinity, -Infinity") from None


def _uuid(given: object) -> Any:
    from bson.binary import Binary, UuidRepresentation

    try:
        return Binary.from_uuid(UUID(_text(given)), UuidRepresentation.STANDARD)
    except ValueError:
        raise NoValue("a UUID") from None


def _binary(given: object) -> Any:
    from bson.binary import Binary

    if not isinstance(given, Mapping) or set(given) != {"base64", "subType"}:
        raise NoValue('{"base64": …, "subType": "00"}')
    try:
        return Binary(base64.b64decode(_text(given["base64"]), validate=True), int(_text(given["subType"]), 16))
    except (binascii.Error, ValueError):
        raise NoValue('{"base64": …, "subType": "00"}') from None


def _timestamp(given: object) -> Any:
    from bson.timestamp import Timestamp

    try:
        assert isinstance(given, Mapping)
        return Timestamp(given["t"], given["i"])
    except (AssertionError, KeyError, TypeError, ValueError):
        raise NoValue('{"t": …, "i": …}') from None


def _min_key(given: object) -> Any:
    from bson.min_key import MinKey

    del given
    return MinKey()


def _max_key(given: object) -> Any:
    from bson.max_key import MaxKey

    del given
    return MaxKey()


WRAPPERS: dict[str, Callable[[object], Any]] = {
    "$oid": lambda given: object_id_of(_text(given)),
    "$date": _date,
    "$numberLong": _long,
    "$numberInt": _int,
    "$numberDouble": _double,
    "$numberDecimal": lambda given: decimal_of(_text(given)),
    "$uuid": _uuid,
    "$binary": _binary,
    "$timestamp": _timestamp,
    "$minKey": _min_key,
    "$maxKey": _max_key,
}
"""Types by the only key of their object."""
