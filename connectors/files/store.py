"""What a place that keeps files can do, and the folder on this machine as one: list, look, and move without losing.

Names are paths with `/`, relative to the store's root. Another store (S3, SFTP) is one more class of this shape; where
nothing can be renamed, `take` needs another atomic step, such as a conditional write of a marker.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Protocol

from connectors.base import SourceError
from connectors.files.delimited.dialect import near
from connectors.files.selection import StoredFile

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What a file system without hard links (or a file that may not be linked) answers."""

_WRITES = "The worker needs to write in the source's folder and in those of config.atomicity."


class FileStore(Protocol):
    """Files and folders by name. All of it raises SourceError (`path_outside_root`, `not_movable`)."""

    def is_file(self, name: str) -> bool: ...

    def is_folder(self, name: str) -> bool: ...

    def stat(self, name: str) -> StoredFile | None:
        """The file as it is now; None when there is none."""

    def listing(self, folder: str) -> list[StoredFile]:
        """The files directly in a folder. Raises SourceError(`file_not_found`) that says what is there instead."""

    def folders(self, name: str) -> list[str]:
        """The names of the folders directly in a folder, in order; none when it is not there."""

    def missing(self, name: str, code: str = "file_not_found") -> SourceError:
        """The error for something that is not there: it tells what is."""

    def take(self, name: str, to: str) -> bool:
        """Moves a file in one step: of any number of callers one gets True. False: it is not there (any more)."""

    def put(self, name: str, to: str) -> None:
        """Moves a file and never overwrites; raises FileExistsError, FileNotFoundError. One that was interrupted is
        finished by the same call."""

    def read(self, name: str) -> str | None:
        """A small text; None when there is none."""

    def write(self, name: str, text: str) -> None:
        """Replaces a small text as a whole: it is the old one or the new one, whenever the process dies."""

    def remove(self, name: str) -> None:
        """Deletes a file, if it is there."""

    def remove_folder(self, name: str) -> None:
        """Deletes a folder, if it is there and empty."""


class LocalStore:
    """The files under a folder of this machine; nothing outside of it can be named, not even by a link."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def path(self, name: str) -> Path:
        """Where that is on this machine. Raises SourceError(`path_outside_root`)."""
        path = self._root / name
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or not self._within(path):
            raise SourceError(
                "path_outside_root",
                f"'{name}' is not inside the files folder.",
                "Paths are relative to filesRoot; they may not leave it by '..', a leading '/' or a link.",
            )
        return path

    def present(self, name: str, *, missing: str = "file_not_found") -> Path:
        """The same for what must be there; raises SourceError(`missing`) that says what is there instead."""
        path = self.path(name)
        if not path.exists():
            raise self.missing(name, missing)
        return path

    def is_file(self, name: str) -> bool:
        """See FileStore."""
        return self.path(name).is_file()

    def is_folder(self, name: str) -> bool:
        """See FileStore."""
        return self.path(name).is_dir()

    def stat(self, name: str) -> StoredFile | None:
        """See FileStore."""
        path = self.path(name)
        return self._stored(path) if path.is_file() else None

    def listing(self, folder: str) -> list[StoredFile]:
        """See FileStore; links that lead out of the files folder are left out."""
        entries = [entry for entry in self.present(folder).iterdir() if entry.is_file() and self._within(entry)]
        return [stored for stored in map(self._stored, entries) if stored is not None]

    def folders(self, name: str) -> list[str]:
        """See FileStore."""
        path = self.path(name)
        return sorted(entry.name for entry in path.iterdir() if entry.is_dir()) if path.is_dir() else []

    def missing(self, name: str, code: str = "file_not_found") -> SourceError:
        """See FileStore."""
        if not self._root.is_dir():
            return SourceError(code, "The files folder does not exist.", "Create it, or set HEADRACE_FILES_ROOT.")
        path = self._root / name
        parent, wanted = path.parent, path.name
        while not parent.is_dir() and parent != self._root:
            parent, wanted = parent.parent, parent.name
        entries = parent.iterdir() if parent.is_dir() else iter(())
        there = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in entries)
        where = parent.relative_to(self._root).as_posix()
        folder = "The files folder" if where == "." else f"Folder '{where}'"
        listed = (
            f"{folder} holds: {', '.join(there[:10])}{', …' if len(there) > 10 else ''}."
            if there
            else f"{folder} is empty."
        )
        hint = near(wanted, [entry.rstrip("/") for entry in there])
        return SourceError(code, f"'{name}' does not exist. {listed}", hint)

    def take(self, name: str, to: str) -> bool:
        """See FileStore: a rename, which the file system does for one of several."""
        source, target = self.path(name), self._fresh(to)
        if source.is_symlink():
            hint = "Put the file itself there: a link that is moved leads elsewhere."
            raise SourceError("not_movable", f"'{name}' is a link, not a file.", hint)
        with _told(name, to):
            try:
                source.rename(target)
            except FileNotFoundError:
                return False
        return True

    def put(self, name: str, to: str) -> None:
        """See FileStore: linked under the new name, which fails when that is taken, then unlinked under the old."""
        source, target = self.path(name), self._fresh(to)
        with _told(name, to):
            try:
                os.link(source, target, follow_symlinks=False)
            except FileExistsError:
                if not _same(source, target):
                    raise
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                _rename_alone(source, target)
                return
            with suppress(FileNotFoundError):
                source.unlink()

    def read(self, name: str) -> str | None:
        """See FileStore."""
        try:
            return self.path(name).read_text()
        except FileNotFoundError:
            return None

    def write(self, name: str, text: str) -> None:
        """See FileStore."""
        path = self._fresh(name)
        fresh = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        with _told(name, name):
            with fresh.open("w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)

    def remove(self, name: str) -> None:
        """See FileStore."""
        self.path(name).unlink(missing_ok=True)

    def remove_folder(self, name: str) -> None:
        """See FileStore."""
        with suppress(OSError):
            self.path(name).rmdir()

    def _fresh(self, name: str) -> Path:
        """The path of something to come; its folder is made."""
        path = self.path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            folder = name.rpartition("/")[0]
            message = f"The folder '{folder}' cannot be made: {error.strerror}."
            raise SourceError("not_movable", message, _WRITES) from None
        return path

    def _within(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self._root)

    def _stored(self, path: Path) -> StoredFile | None:
        try:
            stat = path.stat()
        except FileNotFoundError:  # taken away between two looks
            return None
        return StoredFile(path.relative_to(self._root).as_posix(), stat.st_size, stat.st_mtime, str(stat.st_mtime_ns))


def _same(source: Path, target: Path) -> bool:
    """Both names are of one file: the process died after it had linked it."""
    try:
        return os.path.samestat(source.lstat(), target.lstat())
    except FileNotFoundError:
        return False


def _rename_alone(source: Path, target: Path) -> None:
    """Without hard links: the new name is reserved first (which fails when it is taken), then renamed over."""
    source.lstat()  # nothing is reserved for a file that is not there
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    try:
        source.rename(target)
    except OSError:
        target.unlink()
        raise


@contextmanager
def _told(name: str, to: str) -> Iterator[None]:
    """What the file system refuses, as a sentence."""
    try:
        yield
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError as error:
        hint = _WRITES
        if error.errno == errno.EXDEV:
            hint = "The folders of config.atomicity must be on the file system of the source's folder."
        what = f"'{name}' cannot be written" if name == to else f"'{name}' cannot be moved to '{to}'"
        raise SourceError("not_movable", f"{what}: {error.strerror}.", hint) from None
