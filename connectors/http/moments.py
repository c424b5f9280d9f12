"""Parses and formats the timestamps and durations of settings and APIs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from headrace.connectors.errors import SourceError
from headrace.connectors.sql.settings import lag_of

_ZERO = timedelta(0)


def moment_of(text: str) -> datetime | None:
    """Parses a date or an ISO 8601 timestamp, as UTC without an offset; None for anything else."""
    try:
        found = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def duration_of(text: str | int) -> timedelta | None:
    """Parses a duration such as `P30D` or `PT6H`; None for anything else."""
    try:
        found = lag_of(text)
    except (ValueError, OverflowError):
        return None
    return found if isinstance(found, timedelta) else None


def number_of(text: str | int) -> Decimal | None:
    """Parses a non-negative number; None for anything else."""
    try:
        found = lag_of(text)
    except (ValueError, OverflowError):
        return None
    return found if isinstance(found, Decimal) else None


def written(moment: datetime, form: str) -> str:
    """Formats a timestamp for an API: `iso`, `date`, `epoch`, `epoch_ms`, or a strftime format."""
    match form:
        case "iso":
            fraction = f".{moment.microsecond:06}" if moment.microsecond else ""
            return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"
        case "date":
            return f"{moment:%Y-%m-%d}"
        case "epoch":
            return str(int(moment.timestamp()))
        case "epoch_ms":
            return str((moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1))
    return moment.strftime(form)


def windows(start: str, end: str, step: str, now: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Consecutive half-open time ranges without gaps. Raises SourceError(`bad_option`)."""
    begin = moment_of(start)
    until = now if end == "now" else moment_of(end)
    length = duration_of(step)
    if begin is None or until is None or not length or length <= _ZERO:
        raise SourceError(
            "bad_option", "config.window is not two moments and a duration.", "Write 2024-01-31 and P30D."
        )
    while begin < until:
        yield begin, min(begin + length, until)
        begin += length
