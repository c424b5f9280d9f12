"""Estimates how long a regular expression takes to compile, before it is compiled."""

from __future__ import annotations

import re

HEAVIEST = 150_000
"""Patterns above this weight are refused by the engine that compiles them, at about this cost."""

_BASE = 100
_CLASSES = dict.fromkeys("wWpP", 600) | dict.fromkeys("dDsSbB", 60)
"""Weights of character classes: letters of all scripts, digits and spaces of all scripts."""
_ANY, _SET, _ALL_BUT = 10, 10, 30
_COUNT = re.compile(r"\{(\d{1,9})\s*(?:(,)\s*(\d{0,9}))?\}")
_FLAGS = re.compile(r"\?(?:([a-zA-Z]*)(?:-[a-zA-Z]+)?[:)]|P?<\w+>)")
_BRACED = re.compile(r"[pPxuU]\{[^}]*\}")
_REGEX = re.compile(r"regexp|rlike|similar|~", re.IGNORECASE)
_TEXT = re.compile(r"'(?:[^']|'')*'")


def pattern_weight(pattern: str) -> int:
    """Returns about the microseconds that compiling takes, at most HEAVIEST. Accepts any text, valid pattern or not."""
    groups, last, at, folded = [0], 0, 0, 1

    def add(weight: int) -> None:
        nonlocal last
        last = weight
        groups[-1] += weight

    while at < len(pattern):
        mark = pattern[at]
        at += 1
        if mark == "\\":
            braced = _BRACED.match(pattern, at)
            add(_CLASSES.get(pattern[at : at + 1], 1))
            at = braced.end() if braced else at + 1
        elif mark == "[":
            weight, at = _set(pattern, at)
            add(weight)
        elif mark == "(":
            flags = _FLAGS.match(pattern, at)
            if flags is not None:
                folded = 4 if "i" in (flags[1] or "") else folded
                at = flags.end()
            if flags is None or not flags[0].endswith(")"):
                groups.append(0)
        elif mark == ")":
            inner = groups.pop() if len(groups) > 1 else 0
            add(inner)
        elif mark == "{" and (count := _COUNT.match(pattern, at - 1)) is not None:
            times = max(int(count[1]), int(count[3] or 0)) + (count[2] is not None and not count[3])
            groups[-1] += last * (max(times, 1) - 1)
            last *= max(times, 1)
            at = count.end()
        elif mark not in "*+?|^$":
            add(_ANY if mark == "." else 1)
        if groups[-1] > HEAVIEST:
            return HEAVIEST
    return min(_BASE + folded * sum(groups), HEAVIEST)


def weight_in_sql(sql: str) -> int:
    """Returns the weight of the regular expressions in a SQL text: of all its literals if it may match a pattern."""
    if _REGEX.search(sql) is None:
        return 0
    return sum(pattern_weight(text[1:-1]) for text in _TEXT.findall(sql))


def _set(pattern: str, at: int) -> tuple[int, int]:
    """Returns the weight of a bracket expression and the index after it; `at` is the index after its bracket."""
    weight, depth, first = _SET, 1, at
    if pattern[at : at + 1] == "^":
        weight, at, first = weight + _ALL_BUT, at + 1, at + 1
    while at < len(pattern) and depth:
        mark = pattern[at]
        if mark == "\\":
            weight += _CLASSES.get(pattern[at + 1 : at + 2], 0)
            at += 1
        elif mark == "[":
            depth += 1
        elif mark == "]" and at > first:
            depth -= 1
        at += 1
    return weight, at
