"""How much work a regular expression is before it has seen a text: what it says once may be built a thousand times."""

from __future__ import annotations

import re

HEAVIEST = 150_000
"""What is heavier than this is refused by who compiles it, with as little work."""

_BASE = 100
_CLASSES = dict.fromkeys("wWpP", 600) | dict.fromkeys("dDsSbB", 60)
"""Letters of all scripts, and digits and spaces of all; others are a character."""
_ANY, _SET, _ALL_BUT = 10, 10, 30
_COUNT = re.compile(r"\{(\d{1,9})\s*(?:(,)\s*(\d{0,9}))?\}")
_FLAGS = re.compile(r"\?(?:([a-zA-Z]*)(?:-[a-zA-Z]+)?[:)]|P?<\w+>)")
_BRACED = re.compile(r"[pPxuU]\{[^}]*\}")
_REGEX = re.compile(r"regexp|rlike|similar|~", re.IGNORECASE)
_TEXT = re.compile(r"'(?:[^']|'')*'")


def pattern_weight(pattern: str) -> int:
    """About the microseconds that compiling it takes, HEAVIEST at most. Whatever it is, also what is no pattern."""
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
    """That of the regular expressions in a SQL text: of all its texts, where it may match one at all."""
    if _REGEX.search(sql) is None:
        return 0
    return sum(pattern_weight(text[1:-1]) for text in _TEXT.findall(sql))


def _set(pattern: str, at: int) -> tuple[int, int]:
    """The weight of a set, and where it ends; `at` is behind its bracket."""
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
