"""Paths that users write, and the type of the folder they are relative to."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import NewType

PATH_RULE = "Paths are relative to the files folder; they may not leave it by '..', a leading '/' or a link."


def escapes_root(name: str) -> bool:
    """Whether the path is absolute or has `..`. (What is there may still be a link.)"""
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts


def is_valid_path(name: str) -> bool:
    """Whether a file system can have such a name: no NUL, no lone surrogate."""
    try:
        return b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


def printable(name: str) -> str:
    """A name for messages and JSON: bytes that are not UTF-8 become the replacement character."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


FilesRoot = NewType("FilesRoot", Path)
"""The files folder of one tenant. Outside of tests only `flows.tenant_files` and `flows.in_process` create one; the
latter from the folder that its caller names."""
