"""Private files and folders (mode 0600 and 0700), and small JSON files that are replaced atomically."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any


def make_private(path: Path) -> None:
    """Removes the permissions of group and others from a file or folder of this user; not from symbolic links."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if found.st_uid == os.geteuid() and not stat.S_ISLNK(found.st_mode) and found.st_mode & 0o077:
        path.chmod(stat.S_IMODE(found.st_mode) & 0o700)


def write_private_json(path: Path, document: dict[str, Any]) -> None:
    """Writes `document` with mode 0600."""
    write_private_text(path, json.dumps(document, indent=2) + "\n")


def write_private_text(path: Path, text: str) -> None:
    """Writes `text` with mode 0600."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
    draft.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in `path`; None when there is no file or it holds something else."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None
