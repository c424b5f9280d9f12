"""The interface of a store of files: list, stat, open, and move without losing or overwriting."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from headrace.connectors.errors import SourceError
from headrace.connectors.files.selection import StoredFile, is_temporary


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """An open file: `path` leads to exactly this file while it is open, `file` describes it when it was opened."""

    path: Path
    file: StoredFile
    now: Callable[[], StoredFile]
    """Describes the file as it is now."""


class FileStore(Protocol):
    """Regular files and folders by name; other things are ignored. All methods raise SourceError (`path_outside_root`,
    `bad_path`, `not_readable`, `not_movable`)."""

    def is_file(self, name: str) -> bool: ...

    def is_folder(self, name: str) -> bool: ...

    def stat(self, name: str) -> StoredFile | None:
        """The file as it is now, or None."""

    def listing(self, folder: str) -> list[StoredFile]:
        """The files directly in a folder. Raises SourceError(`file_not_found`), which names what is there."""

    def folders(self, name: str) -> list[str]:
        """The names of the folders directly in a folder, in order; none if it does not exist."""

    def opened(self, name: str, *, missing: str = "file_not_found") -> AbstractContextManager[OpenedFile]:
        """A file to be read. Raises SourceError: the code `missing` if it does not exist, `not_a_file`."""

    def missing(self, name: str, code: str = "file_not_found") -> SourceError:
        """The error for a missing file or folder, which names what is there."""

    def take(self, name: str, to: str) -> bool:
        """Moves a file atomically: of several callers one gets True. False: it is not there (any more)."""

    def put(self, name: str, to: str) -> None:
        """Moves a file and never overwrites. Raises FileExistsError, FileNotFoundError. The same call finishes an
        interrupted move."""

    def read(self, name: str) -> str | None:
        """A small text, or None."""

    def write(self, name: str, text: str) -> None:
        """Replaces a small text atomically: it is the old or the new one, whenever the process dies."""

    def remove(self, name: str) -> None:
        """Deletes a file if it exists."""

    def remove_folder(self, name: str) -> None:
        """Deletes a folder if it exists and is empty."""


MAX_FOLDERS = 50_000


def recursive(store: FileStore) -> FileStore:
    """The store with a recursive `listing`."""
    return cast("FileStore", _Recursive(store))


class _Recursive:
    def __init__(self, store: FileStore) -> None:
        self._store = store

    def listing(self, folder: str) -> list[StoredFile]:
        """The files in a folder and in all its subfolders, except hidden ones. Raises SourceError."""
        found = self._store.listing(folder)
        waiting = self._beneath(folder)
        looked = 0
        while waiting:
            name = waiting.pop()
            looked += 1
            if looked > MAX_FOLDERS:
                message = f"'{folder}' has more than {MAX_FOLDERS:,} folders below it."
                raise SourceError("too_many_files", message, "Name a folder with fewer subfolders.")
            try:
                found += self._store.listing(name)
            except SourceError as error:
                if error.code != "file_not_found":  # removed between two calls
                    raise
                continue
            waiting += self._beneath(name)
        return found

    def _beneath(self, folder: str) -> list[str]:
        prefix = "" if folder in ("", ".") else f"{folder}/"
        return [prefix + name for name in self._store.folders(folder) if not is_temporary(name)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
