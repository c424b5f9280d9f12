"""How values are written on pages: numbers, times, durations, shares, statuses."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

DASH = "\u2013"
"""What is written for a value that is not there."""

STATUS_WORDS = {
    "completed": "Completed",
    "completed_with_errors": "Completed with errors",
    "failed": "Failed",
    "running": "Running",
    "pending": "Waiting",
    "skipped": "Skipped",
    "cancelled": "Cancelled",
    "draft": "Never ran",
    "active": "Active",
    "paused": "Paused",
}
TONES = {
    "completed": "good",
    "completed_with_errors": "amber",
    "failed": "bad",
    "running": "busy",
    "active": "good",
}
"""The colour of a status; others are grey."""


def number(value: float | None) -> str:
    """`1,234,567`; a dash for None."""
    return DASH if value is None else f"{value:,}"


def counted(count: int, noun: str) -> str:
    """`1 row`, `1,234 rows`, `2 entries`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun[:-1]}ies" if noun.endswith("ry") else f"{count:,} {noun}s"


def short_number(value: float | None) -> str:
    """`1.2M`, for places that are too small for all digits."""
    if value is None:
        return DASH
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            scaled = value / (1e3 if unit == "k" else limit)
            return f"{scaled:.0f}{unit}" if scaled >= 100 else f"{scaled:.1f}{unit}"
    return f"{value:,}"


def percent(part: float, whole: float) -> str:
    """`12.3%`; `<0.1%` for a part that would be rounded to nothing, and `>99.9%` for one that would be to all."""
    if not whole or not part:
        return "0%"
    if part == whole:
        return "100%"
    share = 100 * part / whole
    if share < 0.1:
        return "<0.1%"
    return ">99.9%" if share > 99.9 else f"{share:.1f}%"


def duration(seconds: float | None) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`; a dash for None."""
    if seconds is None:
        return DASH
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    for unit, name, part, part_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            rest = whole % unit // part
            return f"{whole // unit} {name}" + (f" {rest} {part_name}" if rest else "")
    return f"{whole} s"


def moment(at: datetime) -> str:
    """`2026-01-15 09:00:00 UTC`."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(at: datetime) -> str:
    """`2026-01-15T09:00:00Z`, for programs."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def relative(at: datetime, now: datetime | None = None) -> str:
    """`just now`, `5 min ago`, `in 2 h`, `3 d ago`; static/console.js keeps it up to date with the same words."""
    seconds = (at - (now or datetime.now(UTC))) / timedelta(seconds=1)
    size = abs(seconds)
    if size < 5:
        return "just now"
    for unit, name in ((86400 * 365, "y"), (86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if size >= unit:
            text = f"{int(size // unit)} {name}"
            break
    return f"in {text}" if seconds > 0 else f"{text} ago"


def size(count: int) -> str:
    """`1.2 MB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def as_json(value: Any) -> str:
    """A value as JSON, to be escaped like any other text."""
    return json.dumps(value, ensure_ascii=False, default=str)


def status_words(status: str | None) -> str:
    """A status as people say it."""
    return "Never ran" if status is None else STATUS_WORDS.get(status, status.replace("_", " ").capitalize())


def tone(status: str | None) -> str:
    """The colour of a status: `good`, `amber`, `bad`, `busy` or `calm`."""
    return TONES.get(status or "", "calm")
