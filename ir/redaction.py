"""Removes secrets from texts for people, such as messages of a library's errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

HIDDEN = "***"
_NAMES = frozenset({"username", "user", "hosts"})
"""Keys of credentials that are not secret and useful in a message."""

_SHORTEST = 4
"""The shortest secret that is removed: shorter ones occur in every text."""


def secret_texts(credentials: Mapping[str, Any]) -> Iterator[str]:
    """Yields the secrets in credentials, at any depth."""
    for name, value in credentials.items():
        if name not in _NAMES:
            yield from _texts(value)


def redact(text: str, secrets: Iterable[str]) -> str:
    """Returns the text with the secrets, plain and percent-encoded, replaced by HIDDEN."""
    spelled = {form for secret in secrets for form in (secret, quote(secret, safe=""), quote_plus(secret))}
    for secret in sorted(spelled, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, HIDDEN)
    return text


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from secret_texts(value)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value
