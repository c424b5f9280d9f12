"""What runs are called in Prefect's lists: the pipeline and the moment, instead of two random words."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_RANDOM = re.compile(r"[a-z]+-[a-z]+")


def run_name(pipeline: str, at: datetime, *, retry_of: datetime | None = None) -> str:
    """`Daily orders 2026-11-21 02:00:05Z`. `at` (aware) is when the run was asked for or is due; `retry_of` is when the
    run was asked for that it retries."""
    name = f"{pipeline} {_moment(at)}"
    return name if retry_of is None else f"{name}, retry of {_moment(retry_of)}"


def is_random(name: str) -> bool:
    """Whether a name looks like one that Prefect made up, such as `zealous-toucan`; what people write is kept."""
    return _RANDOM.fullmatch(name) is not None


def _moment(at: datetime) -> str:
    # In UTC and marked so: Prefect's UI shows times in the reader's own zone.
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
