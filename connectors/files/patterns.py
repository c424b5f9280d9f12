"""Patterns of file names, matched by an engine whose time grows linearly with pattern and name.

Python's `re` backtracks: a small pattern and one name can keep a process busy for years. So names are matched by
polars' engine (Rust's `regex`), like the rule `regex` and the op `split`: no look-around, no back-references. A glob is
translated into a regular expression.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from polars.exceptions import PolarsError

from headrace.connectors.errors import SourceError
from headrace.connectors.files.paths import is_valid_path, printable
from headrace.ir.parsing.regex_cost import pattern_weight

MAX_CHARACTERS = 1_000
MAX_WEIGHT = 60_000
"""Limit of a pattern's weight (`ir.parsing.regex_cost`): heavier patterns are slow on every name of a large folder."""

_UNKNOWN = ("look-around", "backreferences")


def expression_of(kind: str, value: str) -> str:
    """The regular expression for whole names of a pattern of that kind (`regex`, else a glob). Raises SourceError
    (`bad_pattern`) if it is invalid or too large."""
    if not is_valid_path(value):
        raise SourceError("bad_pattern", f"The pattern {value!r} can match no name.", "No name has such a character.")
    if len(value) > MAX_CHARACTERS:
        message = f"The pattern has {len(value):,} characters."
        raise SourceError("bad_pattern", message, f"{MAX_CHARACTERS:,} are enough for a name.")
    if kind != "regex":
        return rf"\A(?s:{_of_path(value) if of_paths(kind, value) else _of_glob(value)})\z"
    if pattern_weight(value) > MAX_WEIGHT:
        hint = r"Shorten it, its counts in braces above all: \w{100} is a hundred times \w, and [a-z] much less."
        raise SourceError("bad_pattern", "The pattern is too large a regular expression.", hint)
    for tried in (value, whole := rf"\A(?:{value})\z"):
        try:
            matching(tried, [""])
        except PolarsError as error:
            raise _refused(value, error) from None
    return whole


def matching(expression: str, names: Sequence[str]) -> list[bool]:
    """Which of the names match. Bytes that are not UTF-8 match like the replacement character."""
    return pl.Series([printable(name) for name in names], dtype=pl.String).str.contains(expression).to_list()


def of_paths(kind: str, value: str) -> bool:
    """Whether a pattern matches paths below a folder instead of file names."""
    return kind != "regex" and "/" in value


def _of_path(glob: str) -> str:
    """`**` matches any number of folders, also none; everything else matches within one name."""
    parts = [part for part in glob.split("/") if part not in ("", ".")]
    written = [
        "(?:[^/]+/)*" if part == "**" and place < len(parts) - 1 else _of_glob(part, anything="[^/]")
        for place, part in enumerate(parts)
    ]
    return "".join(
        each if part == "**" and place < len(parts) - 1 else each + "/" * (place < len(parts) - 1)
        for place, (part, each) in enumerate(zip(parts, written, strict=True))
    )


def _of_glob(glob: str, *, anything: str = ".") -> str:
    """Like `fnmatch`: `*` matches anything, `?` one character, `[seq]` one of those, `[!seq]` one of all others."""
    parts: list[str] = []
    at = 0
    while at < len(glob):
        mark = glob[at]
        at += 1
        if mark == "*":
            if parts[-1:] != [f"{anything}*"]:
                parts.append(f"{anything}*")
        elif mark == "?":
            parts.append(anything)
        elif mark == "[" and (end := _closing(glob, at)) > 0:
            parts.append(_of_set(glob[at:end]))
            at = end + 1
        else:
            parts.append(_literal(mark))
    return "".join(parts)


def _closing(glob: str, at: int) -> int:
    """The end of the set that begins at `at`; -1 if it is not closed. A bracket in first place is part of the set."""
    first = at + (glob[at : at + 1] == "!")
    return glob.find("]", first + (glob[first : first + 1] == "]"))


def _of_set(inside: str) -> str:
    negated, members = inside.startswith("!"), inside.removeprefix("!")
    ranges: list[str] = []
    at = 0
    while at < len(members):
        if members[at + 1 : at + 2] == "-" and at + 2 < len(members):
            first, last = members[at], members[at + 2]
            if first <= last:  # a reversed range is empty
                ranges.append(f"{_literal(first)}-{_literal(last)}")
            at += 3
        else:
            ranges.append(_literal(members[at]))
            at += 1
    if not ranges:
        return "." if negated else r"[^\s\S]"
    return f"[{'^' if negated else ''}{''.join(ranges)}]"


def _literal(character: str) -> str:
    return character if character.isalnum() else f"\\x{{{ord(character):x}}}"


def _refused(value: str, error: PolarsError) -> SourceError:
    text = str(error)
    verdict = text.partition("\nerror: ")[2].partition("\n")[0]
    verdict = (verdict or text.partition("\n")[0].removeprefix("regex error: ")).removesuffix(".")
    hint = "It is written as in the rule regex, in Rust's syntax."
    if any(each in verdict for each in _UNKNOWN):
        hint += " Match more files than you mean, or name them so that the pattern does not need it."
    return SourceError("bad_pattern", f"The pattern '{value}' is not a regular expression: {verdict}.", hint)
