"""Patterns of stream names: `*` is any text, `?` one character, everything else itself. Names are compared by case.

No regular expression is made of a pattern: matching takes at most the product of both lengths.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from headrace.ir.problems import fault

MAX_PATTERN_CHARS = 400


def _pattern(text: str) -> str:
    if any(not letter.isprintable() for letter in text):
        raise fault("bad_pattern", f"{text!r} holds a line end or a control character", "use ? for one character")
    return text


Pattern = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PATTERN_CHARS), AfterValidator(_pattern)]
"""A pattern of the names that the connection lists: `sales.*`."""


def matches(pattern: str, name: str) -> bool:
    """Whether the whole name is of the pattern."""
    at, here = 0, 0
    star, resume_at = -1, 0
    while here < len(name):
        if at < len(pattern) and pattern[at] == "*":
            star, resume_at = at, here
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", name[here]):
            at, here = at + 1, here + 1
        elif star >= 0:  # the star takes one character more
            resume_at += 1
            at, here = star + 1, resume_at
        else:
            return False
    return all(letter == "*" for letter in pattern[at:])


def any_matches(patterns: Iterable[str], name: str) -> bool:
    """Whether the name is of one of the patterns."""
    return any(matches(pattern, name) for pattern in patterns)
