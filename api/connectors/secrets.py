"""What in a connector's config is a secret all the same, and belongs to its credentials."""

from __future__ import annotations

import re
from typing import Any

from flows.block_references import is_reference

_SECRET_KEY = re.compile(
    r"pass(word|wd|phrase)|secret|token|api[_-]?key|private_?key|credential|authorization", re.IGNORECASE
)
_SECRET_VALUE = re.compile(r"://[^/@\s]*:[^/@\s]+@")


def split_secrets(config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What of a config may be shown, and what looks like a secret and belongs to the credentials (passwords, tokens,
    URLs with a password in them), by top-level key."""
    secrets = {key: value for key, value in config.items() if _is_secret(key, value)}
    return {key: value for key, value in config.items() if key not in secrets}, secrets


def _is_secret(key: str, value: object) -> bool:
    if isinstance(value, dict):
        return any(_is_secret(inner, content) for inner, content in value.items())
    if isinstance(value, list):
        return any(_is_secret(key, content) for content in value)
    if is_reference(value):  # no secret itself; what it stands for is
        return True
    return isinstance(value, str) and bool(_SECRET_KEY.search(key) or _SECRET_VALUE.search(value))
