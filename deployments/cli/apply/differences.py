"""How differences are described, and those that cannot be applied."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from headrace.deployments.cli.documents.load import Document, Fault
from headrace.ir.problems import Problem

_MAX_SHOWN = 60


def immutable(document: Document, path: str, message: str) -> Fault:
    """What the API does not change, at a path of the document."""
    hint = "delete it and apply again, or give the new one another name"
    return Fault(document.origin, Problem(path, "immutable", message, hint))


def differences(path: str, before: Any, after: Any) -> Iterator[str]:
    """One line for each value below a path that differs."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in [*before, *(key for key in after if key not in before)]:
            if key not in after:
                yield f"{path}.{key} removed: {_shown(before[key])}"
            elif key not in before:
                yield f"{path}.{key} added: {_shown(after[key])}"
            else:
                yield from differences(f"{path}.{key}", before[key], after[key])
    elif json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True):
        yield f"{path}: {_shown(before)} → {_shown(after)}"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"
