"""Detection of secrets in a connector's config, which are stored with its credentials."""

from __future__ import annotations

import re
from typing import Any

from headrace.flows.prefect.block_references import is_reference

_SECRET_KEY = re.compile(
    r"pass(word|wd|phrase|code)|pwd|secret|token|credential|authorization|cookie|bearer|signature$|jaas|(^|[_-])sas($|[_-])"
    r"|(api|private|account|shared|master|signing|encryption)[_-]?(access[_-]?)?key|access[_-]?key(?![_-]?id)",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"://[^/@\s:]*:[^/@\s]+@|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|(?i:\b(password|pwd|secret|token|api_?key|access_?key|account_?key|shared_?access_?key|sig|signature)\s*=\s*[^\s;&]{4,})"
)
"""The user in a URL cannot contain a colon, so there is only one way to match: a long text without an `@` takes linear
time."""


def split_secrets(config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits a config by top-level key into settings that may be shown and those that look like secrets (passwords,
    tokens, URLs with a password), which belong to the credentials."""
    secrets = {key: value for key, value in config.items() if _is_secret(key, value)}
    return {key: value for key, value in config.items() if key not in secrets}, secrets


def _is_secret(key: str, value: object) -> bool:
    if isinstance(value, dict):
        return any(_is_secret(inner, content) for inner, content in value.items())
    if isinstance(value, list):
        return any(_is_secret(key, content) for content in value)
    if is_reference(value):  # the value that it refers to is a secret
        return True
    return isinstance(value, str) and bool(_SECRET_KEY.search(key) or _SECRET_VALUE.search(value))
