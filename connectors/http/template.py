"""Placeholders in a request that each slice fills in: `{parent.id}`, `{window.start}`, `{window.end}`,
`{window.days}`, `{cursor}`, `{job.id}`; and `{argument.name}`, which a source node fills in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from headrace.connectors.errors import SourceError

_PLACE = re.compile(r"\{((?:parent|job)\.[A-Za-z_][A-Za-z0-9_]{0,99}|window\.start|window\.end|window\.days|cursor)\}")
_ARGUMENT = re.compile(r"\{argument\.([A-Za-z_][A-Za-z0-9_]{0,99})\}")
_DOTS = (".", "..")

Values = Mapping[str, str]
"""The values by placeholder: `parent.id`."""


def places_of(value: Any) -> Iterator[str]:
    """The names of all placeholders in a text, or in the texts of a JSON value."""
    match value:
        case str(text):
            yield from (found[1] for found in _PLACE.finditer(text))
        case dict(entries):
            for inner in entries.values():
                yield from places_of(inner)
        case list(items):
            for inner in items:
                yield from places_of(inner)


def filled(value: Any, values: Values) -> Any:
    """A JSON value with the placeholders in its texts filled in. Values are text and are not expanded again."""
    match value:
        case str(text):
            return _PLACE.sub(lambda found: _of(values, found[1]), text)
        case dict(entries):
            return {key: filled(inner, values) for key, inner in entries.items()}
        case list(items):
            return [filled(inner, values) for inner in items]
    return value


def arguments_of(value: Any) -> Iterator[str]:
    """The names of the arguments in the texts of a JSON value."""
    match value:
        case str(text):
            yield from (found[1] for found in _ARGUMENT.finditer(text))
        case dict(entries):
            for inner in entries.values():
                yield from arguments_of(inner)
        case list(items):
            for inner in items:
                yield from arguments_of(inner)


def with_arguments(value: Any, arguments: Mapping[str, str]) -> Any:
    """A JSON value with the arguments in its texts filled in. An argument may have placeholders, but no arguments."""
    match value:
        case str(text):
            return _ARGUMENT.sub(lambda found: arguments.get(found[1], found[0]), text)
        case dict(entries):
            return {key: with_arguments(inner, arguments) for key, inner in entries.items()}
        case list(items):
            return [with_arguments(inner, arguments) for inner in items]
    return value


def filled_path(path: str, values: Values) -> str:
    """A URL's path with percent-encoded values, so that each value is one path segment. Raises SourceError(`bad_value`)
    for values such as `..`."""

    def encoded(found: re.Match[str]) -> str:
        value = _of(values, found[1])
        if not value or any(part in _DOTS for part in value.replace("\\", "/").split("/")):
            raise SourceError(
                "bad_value",
                f"The value '{value}' of {{{found[1]}}} cannot be a part of an address.",
                "Send it as a parameter.",
            )
        return quote(value, safe="")

    return _replaced(path, encoded)


def _replaced(text: str, by: Callable[[re.Match[str]], str]) -> str:
    return _PLACE.sub(by, text)


def _of(values: Values, name: str) -> str:
    if name not in values:
        raise SourceError(
            "bad_value", f"There is nothing to fill in for {{{name}}}.", "Set 'parent', 'window' or 'cursor'."
        )
    return values[name]
