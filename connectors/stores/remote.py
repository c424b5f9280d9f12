"""Shared by remote stores: names that stay below their root, and local copies of files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.connectors.files.delimited.dialect import near
from headrace.connectors.files.paths import escapes_root, is_valid_path
from headrace.connectors.files.selection import StoredFile
from headrace.connectors.files.store import OpenedFile
from headrace.connectors.stores.file_copies import FileCopies

_LEAVES = "Paths are relative to the connector's own folder; they may not leave it by '..' or a leading '/'."


def checked_path(name: str) -> str:
    """A name as a path below the store's root, which is "". Raises SourceError(`path_outside_root`, `bad_path`)."""
    if not is_valid_path(name) or any(mark in name for mark in "\r\n"):
        raise SourceError("bad_path", f"{name!r} is not a path.", "It holds a character that no store allows.")
    if escapes_root(name):
        raise SourceError("path_outside_root", f"'{name}' is not inside the connector's folder.", _LEAVES)
    path = PurePosixPath(name).as_posix()
    return "" if path == "." else path


@contextmanager
def opened(
    copies: FileCopies,
    file: StoredFile,
    fill: Callable[[int], None],
    now: Callable[[], StoredFile | None],
) -> Iterator[OpenedFile]:
    """The local copy of a file, in the version that was listed; `now` lists it again."""

    def at_this_moment() -> StoredFile:
        # a deleted file counts as another version; the reader has its own message for that
        return now() or StoredFile(file.name, -1, 0.0, "")

    with copies.of((file.name, file.size, file.version), fill) as path:
        yield OpenedFile(path, file, at_this_moment)


def missing(name: str, code: str, there: Callable[[str], Sequence[str] | None], root: str) -> SourceError:
    """The error for something that does not exist. `there` gives the names in a folder (subfolders with a `/`), or
    None."""
    path = PurePosixPath(checked_path(name) or ".")
    parent, wanted = path.parent, path.name
    while (found := there("" if parent.name == "" else parent.as_posix())) is None and parent.name:
        parent, wanted = parent.parent, parent.name
    folder = f"Folder '{parent.as_posix()}'" if parent.name else root
    shown = sorted(found or ())
    listed = f"holds: {', '.join(shown[:10])}{', …' if len(shown) > 10 else ''}." if shown else "is empty."
    what = f"'{name}' does not exist." if path.name else "There is no file."
    return SourceError(code, f"{what} {folder} {listed}", near(wanted, [each.rstrip("/") for each in shown]))


def changed(name: str) -> SourceError:
    """The error for a file that has changed."""
    return SourceError(
        "source_changed", f"'{name}' changed while the run read it.", "Start a new run when it is complete."
    )


def pattern_name(settings: Mapping[str, Any], base: object) -> str:
    """The name of a source's files in lineage."""
    pattern: Any = settings.get("pattern") or {}
    value = str(pattern.get("value") or "") if isinstance(pattern, Mapping) else str(pattern)
    parts = (str(base or ""), str(settings.get("path") or ""), value)
    return "/".join(part.strip("/") for part in parts if part.strip("/"))
