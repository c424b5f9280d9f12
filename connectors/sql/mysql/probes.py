"""Values between two others, used to ask a server which values it has there.

They only have to be values of the column's type: the server says which of its own values come next, and in which order
they are. A probe outside the range finds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_FLOOR, Context, Decimal

from headrace.connectors.sql.mysql.types import FLOATS, INTEGERS, MOMENTS

_EXACT = Context(prec=100, rounding=ROUND_FLOOR)
_EPOCH = datetime(1, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_SIGNS = " -0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
"""The ASCII characters of probes, which every character set has."""
_DEEPER = 3
_BYTES = 8


def probes(kind: str, low: str, high: str, count: int) -> list[str]:
    """Up to about `count` values between two values of a column, as text (bytes in hexadecimal)."""
    if kind == "text":
        return _texts(low, high)
    if kind == "bytes":
        return _bytes(bytes.fromhex(low), bytes.fromhex(high), count)
    if kind == "date":
        first, last = (_day(text) for text in (low, high))
        return [date.fromordinal(int(each)).isoformat() for each in _between(first, last, count, whole=True)]
    if kind in MOMENTS:
        first, last = (_micros(text) for text in (low, high))
        return [(_EPOCH + int(each) * _MICROSECOND).isoformat(" ") for each in _between(first, last, count, whole=True)]
    write: Callable[[Decimal], str] = (lambda each: repr(float(each))) if kind in FLOATS else (lambda each: f"{each:f}")
    return [write(each) for each in _between(Decimal(low), Decimal(high), count, whole=kind in INTEGERS)]


def _between(low: Decimal | int, high: Decimal | int, count: int, *, whole: bool) -> list[Decimal]:
    first, last = Decimal(low), Decimal(high)
    width = _EXACT.subtract(last, first)
    found = [
        _EXACT.add(first, _EXACT.divide(_EXACT.multiply(width, Decimal(at)), Decimal(count + 1)))
        for at in range(1, count + 1)
    ]
    if whole:
        found = [each.to_integral_value(ROUND_FLOOR, _EXACT) for each in found]
    return [each for each in dict.fromkeys(found) if first < each < last]


def _day(text: str) -> int:
    try:
        return date.fromisoformat(text).toordinal()
    except ValueError:
        return 1  # 0000-00-00


def _micros(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0
    moment = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo is not None else moment
    return (moment - _EPOCH) // _MICROSECOND


def _alike(low: Sequence[object], high: Sequence[object]) -> int:
    """The length of the common prefix."""
    pairs = enumerate(zip(low, high, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(low), len(high)))


def _texts(low: str, high: str) -> list[str]:
    """The common prefix with one more character, and the same for longer prefixes of the lower value."""
    common = low[: _alike(low, high)]
    prefixes = [common, *(low[:at] for at in range(len(common) + 1, min(len(low), len(common) + _DEEPER) + 1))]
    return [prefix + sign for prefix in prefixes for sign in _SIGNS]


def _bytes(low: bytes, high: bytes, count: int) -> list[str]:
    common = low[: _alike(low, high)]
    first, last = (
        int.from_bytes(each[len(common) : len(common) + _BYTES].ljust(_BYTES, b"\0"), "big") for each in (low, high)
    )
    return [(common + int(each).to_bytes(_BYTES, "big")).hex() for each in _between(first, last, count, whole=True)]
