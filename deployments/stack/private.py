"""Small JSON files nobody else may read, replaced in one step so that a reader never sees half of one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_private_json(path: Path, document: dict[str, Any]) -> None:
    """Writes `document` with mode 0600."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        json.dump(document, file, indent=2)
        file.write("\n")
    draft.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in `path`; None when there is no file or it holds something else."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None
