"""Limits of YAML texts, checked on the parser's events before any value is created.

Nested aliases let a short text expand to more values than fit into memory ("billion laughs"). So the content of an
alias is counted at each use, and a text that is too large or too deep, or that has a tag, is refused with its line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

MAX_DEPTH = 64
MAX_VALUES = 200_000
MAX_CHARACTERS = 20_000_000
"""Limits of one document with its aliases expanded."""

_MAX_DIGITS = 400
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_TAGS = (None, "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


class ParseFault(Exception):
    """The text cannot be read. `line` counts from 1."""

    def __init__(self, message: str, line: int | None, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.line, self.hint = message, line, hint


@dataclass(slots=True)
class _Extent:
    """The extent of a collection or with_dtstart value: number of values and characters, depth."""

    anchor: str | None
    values: int = 1
    characters: int = 0
    depth: int = 0

    def takes(self, other: _Extent) -> None:
        self.values += other.values
        self.characters += other.characters
        self.depth = max(self.depth, other.depth + 1)


def check_limits(events: Iterator[yaml.Event]) -> None:
    """Raises ParseFault for a text beyond the limits, and the parser's error for invalid YAML."""
    open_parts, named = [_Extent(None)], dict[str, _Extent]()
    for event in events:
        line = event.start_mark.line + 1 if event.start_mark is not None else None
        if isinstance(event, yaml.DocumentStartEvent):
            open_parts, named = [_Extent(None)], {}
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            done = open_parts.pop()
        elif isinstance(event, yaml.AliasEvent):
            if any(part.anchor == event.anchor for part in open_parts):
                raise ParseFault(f"'*{event.anchor}' is inside the value it refers to", line, "write it out")
            if event.anchor not in named:
                continue  # reported by the composer
            done = _Extent(None, *_size(named[event.anchor]))
        elif isinstance(event, yaml.ScalarEvent):
            _plain_value(event, line)
            done = _Extent(event.anchor, 1, len(event.value))
        elif isinstance(event, yaml.CollectionStartEvent):
            _no_tag(event.tag, line)
            open_parts.append(_Extent(event.anchor))
            if len(open_parts) > MAX_DEPTH + 1:
                raise _too_deep(line)
            continue
        else:
            continue
        if done.anchor is not None:
            named[done.anchor] = done
        open_parts[-1].takes(done)
        if len(open_parts) + done.depth > MAX_DEPTH + 1:
            raise _too_deep(line)
        if sum(part.values for part in open_parts) > MAX_VALUES:
            message = f"With its aliases the document has more than {MAX_VALUES:,} values"
            raise ParseFault(message, line, "make several documents of it, or use fewer aliases")
        if sum(part.characters for part in open_parts) > MAX_CHARACTERS:
            message = f"With its aliases the document has more than {MAX_CHARACTERS:,} characters"
            raise ParseFault(message, line, "make several documents of it, or use fewer aliases")


def _size(part: _Extent) -> tuple[int, int, int]:
    return part.values, part.characters, part.depth


def _plain_value(event: yaml.ScalarEvent, line: int | None) -> None:
    _no_tag(event.tag, line)
    if any("\ud800" <= letter <= "\udfff" for letter in event.value):
        raise ParseFault("Half of a surrogate pair is not a character", line, "write both halves, or leave it out")
    if event.style is None and _NUMBER.fullmatch(event.value):
        if len(event.value) > _MAX_DIGITS:
            raise ParseFault(f"A number of more than {_MAX_DIGITS} digits", line, "put it into quotes")
        if not math.isfinite(float(event.value)):
            raise ParseFault(f"'{event.value}' is too large for a number", line, "put it into quotes")


def _no_tag(tag: str | None, line: int | None) -> None:
    if tag not in _TAGS:
        raise ParseFault(f"The tag '{tag}' is not read: values are what JSON has", line, "leave the tag out")


def _too_deep(line: int | None) -> ParseFault:
    return ParseFault(f"The document is nested deeper than {MAX_DEPTH} levels", line, "nest it less")
