"""Finds texts that PostgreSQL cannot store: NUL characters and lone surrogates."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.ir.problems import Problem


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can store the text."""
    if "\x00" in text:
        return False
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def unstorable_texts(value: object, path: str = "") -> Iterator[Problem]:
    """Yields a problem for every text and name in decoded JSON that cannot be stored, at any depth."""
    rest = [(path, value)]
    while rest:
        place, each = rest.pop()
        if isinstance(each, str):
            if not is_storable(each):
                yield unstorable(place)
        elif isinstance(each, list):
            rest += [(f"{place}[{number}]", one) for number, one in reversed(list(enumerate(each)))]
        elif isinstance(each, dict):
            names = [name for name in each if isinstance(name, str)]
            bad = [name for name in names if not is_storable(name)]
            if bad:
                yield unstorable(place, "A name")
            rest += [(f"{place}.{name}".lstrip("."), each[name]) for name in reversed(names) if name not in bad]


def unstorable(place: str, what: str = "Text") -> Problem:
    """Returns the problem for the text, or the name, at a path."""
    message = f"{what} with NUL characters or lone surrogates cannot be stored"
    return Problem(place, "unstorable_text", message, "leave these characters out")
