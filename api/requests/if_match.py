"""The header `If-Match`, with a version as `ETag` has it."""

from __future__ import annotations

import re

from headrace.api.errors import invalid

_IF_MATCH = re.compile(r'(?:W/)?"(\d{1,9})"|(\d{1,9})')


def expected_version(if_match: str | None) -> int | None:
    """The version that the header names; None without one, and for `*`. Raises ApiError 400."""
    if if_match is None or if_match.strip() == "*":
        return None
    match = _IF_MATCH.fullmatch(if_match.strip())
    if match is None:
        hint = 'the version as returned by GET, for example "3"'
        raise invalid("If-Match", "bad_version", "If-Match does not name a version", hint)
    return int(match[1] or match[2])
