"""Answers of tools: compact JSON that fits into a context window, and says what was left out."""

from __future__ import annotations

import json
from typing import Any

MAX_CHARS = 20_000
"""Of one answer: about 5,000 tokens."""

_STEPS = ((400, 100), (200, 40), (120, 15), (80, 5), (60, 2))
"""(characters of a text, entries of a list), tried in this order until the answer fits."""


def answer(value: Any) -> str:
    """The value as JSON of at most MAX_CHARS characters. Texts and lists are cut as little as that needs."""
    written = _written(value)
    for texts, entries in _STEPS if len(written) > MAX_CHARS else ():
        written = _written(_cut(value, texts, entries))
        if len(written) <= MAX_CHARS:
            return written
    if len(written) <= MAX_CHARS:
        return written
    return _written({"cut": f"{len(written):,} characters; ask for less", "begins": written[: MAX_CHARS // 2]})


def _cut(value: Any, texts: int, entries: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= texts else f"{value[:texts]}… ({len(value):,} characters)"
    if isinstance(value, dict):
        return {key: _cut(each, texts, entries) for key, each in value.items()}
    if isinstance(value, list):
        kept = [_cut(each, texts, entries) for each in value[:entries]]
        return kept if len(value) <= entries else [*kept, f"… {len(value) - entries:,} more"]
    return value


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
