"""How far a stream is behind its sources."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from headrace.catalog.runs.records import SourceLag

Lags = Mapping[str, SourceLag]
"""By source node."""


def worst(lags: Lags, now: datetime) -> float | None:
    """The most seconds that a source is behind; None while that of none is known."""
    known = [seconds for each in lags.values() if (seconds := each.seconds(now)) is not None]
    return max(known, default=None)


def describe(lags: Lags, now: datetime) -> str:
    """For people: `src: 0 rows, 1.2 s behind`."""
    parts = []
    for node, lag in lags.items():
        seconds = lag.seconds(now)
        age = "not known how far behind" if seconds is None else f"{seconds:,.1f} s behind"
        parts.append(f"{node}: {lag.rows:,} rows waiting, {age}")
    return "; ".join(parts)
