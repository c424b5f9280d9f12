"""A folder on this machine as a store of files."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import BinaryIO

from headrace.connectors.errors import SourceError
from headrace.connectors.files.delimited.dialect import near
from headrace.connectors.files.local.safe_open import RootedFolder, kind_of_file, path_of_fd, relative_path, scan_folder
from headrace.connectors.files.paths import FilesRoot, printable
from headrace.connectors.files.selection import StoredFile
from headrace.connectors.files.store import OpenedFile

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""Error numbers of a file system without hard links, or of a file that may not be linked."""

_WRITES = "The worker needs to write in the source's folder and in those of config.atomicity."


_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
"""Error numbers for names that do not or cannot exist."""

_DRAFT = ".headrace-draft.tmp"
_SMALL = 16 << 20
"""Limit for the small text files that Headrace writes."""


class LocalStore:
    """A FileStore of a folder on this machine. Nothing outside it can be reached, not even by a link created during the
    access."""

    def __init__(self, root: FilesRoot) -> None:
        self._beneath = RootedFolder(root)

    def is_file(self, name: str) -> bool:
        return self.stat(name) is not None

    def is_folder(self, name: str) -> bool:
        status = self._status(name)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def stat(self, name: str) -> StoredFile | None:
        status = self._status(name)
        if status is None or not stat.S_ISREG(status.st_mode):
            return None
        return _stored(relative_path(name).as_posix(), status)

    def listing(self, folder: str) -> list[StoredFile]:
        """Leaves out links that lead out of the files folder, and everything that is not a regular file."""
        found: list[StoredFile] = []
        path = relative_path(folder).as_posix()
        within = "" if path == "." else f"{path}/"
        with self._looking(folder), self._beneath.folder(folder) as opened, scan_folder(opened) as there:
            for entry in there:
                name = within + entry.name
                with suppress(FileNotFoundError):  # removed since the scan
                    status: os.stat_result | None = entry.stat(follow_symlinks=False)
                    if status is not None and stat.S_ISLNK(status.st_mode):
                        status = self._behind_link(name)
                    if status is not None and stat.S_ISREG(status.st_mode):
                        found.append(_stored(name, status))
        return found

    def folders(self, name: str) -> list[str]:
        """Links are left out."""
        try:
            with self._beneath.folder(name) as opened, scan_folder(opened) as there:
                return sorted(entry.name for entry in there if entry.is_dir(follow_symlinks=False))
        except OSError as error:
            if error.errno in _ABSENT:
                return []
            raise _unreadable(name, error) from None

    @contextmanager
    def opened(self, name: str, *, missing: str = "file_not_found") -> Iterator[OpenedFile]:
        with ExitStack() as stack:
            with self._looking(name, missing):
                number = stack.enter_context(self._beneath.file(name))

            def now() -> StoredFile:
                return _stored(relative_path(name).as_posix(), os.fstat(number))

            yield OpenedFile(path_of_fd(number), now(), now)

    def missing(self, name: str, code: str = "file_not_found") -> SourceError:
        status = self._status(name)
        if status is not None and not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            return SourceError(
                "not_a_file", f"'{name}' is {kind_of_file(status.st_mode)}.", "Only regular files are read."
            )
        if not self.is_folder(""):
            hint = "The operator makes it (HEADRACE_FILES_ROOT): `headrace doctor` says where it should be."
            return SourceError(code, "The files folder does not exist.", hint)
        parent, wanted = relative_path(name).parent, relative_path(name).name
        while parent.name and not self.is_folder(parent.as_posix()):
            parent, wanted = parent.parent, parent.name
        there: list[str] = []
        with (
            suppress(OSError, SourceError),
            self._beneath.folder(parent.as_posix()) as opened,
            scan_folder(opened) as found,
        ):
            there = sorted(printable(entry.name) + "/" * entry.is_dir(follow_symlinks=False) for entry in found)
        folder = f"Folder '{parent.as_posix()}'" if parent.name else "The files folder"
        listed = (
            f"{folder} holds: {', '.join(there[:10])}{', …' if len(there) > 10 else ''}."
            if there
            else f"{folder} is empty."
        )
        hint = near(wanted, [entry.rstrip("/") for entry in there])
        return SourceError(code, f"'{name}' does not exist. {listed}", hint)

    def take(self, name: str, to: str) -> bool:
        """An atomic rename: of several callers one succeeds."""
        with self._making(to) as (target, new), _translating_errors(name, to):
            try:
                with self._beneath.beside(name) as (source, old):
                    mode = os.stat(old, dir_fd=source, follow_symlinks=False).st_mode
                    if stat.S_ISLNK(mode):
                        hint = "Put the file itself there: a moved link could point elsewhere."
                        raise SourceError("not_movable", f"'{name}' is a link, not a file.", hint)
                    if not stat.S_ISREG(mode):
                        raise SourceError("not_movable", f"'{name}' is {kind_of_file(mode)}, not a file.")
                    os.rename(old, new, src_dir_fd=source, dst_dir_fd=target)
            except FileNotFoundError:
                return False
        return True

    def put(self, name: str, to: str) -> None:
        """A hard link under the new name, which fails if that exists, then an unlink of the old name."""
        with (
            self._making(to) as (target, new),
            _translating_errors(name, to),
            self._beneath.beside(name) as (source, old),
        ):
            try:
                os.link(old, new, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
            except FileExistsError:
                if not _same(source, old, target, new):
                    raise
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                _rename_alone(source, old, target, new)
                return
            with suppress(FileNotFoundError):
                os.unlink(old, dir_fd=source)

    def read(self, name: str) -> str | None:
        try:
            with self._beneath.file(name) as number:
                size = os.fstat(number).st_size
                if size > _SMALL:
                    raise SourceError("bad_record", f"'{name}' has {size:,} bytes: it is not one of Headrace's.")
                return os.pread(number, size, 0).decode(errors="replace")
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise _unreadable(name, error) from None

    def write(self, name: str, text: str) -> None:
        with self.writing(name) as file:
            file.write(text.encode())

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """A file that replaces `name` as a whole when the block ends, and is deleted if the block fails. Raises
        SourceError."""
        with self._making(name) as (folder, base), _translating_errors(name, name):
            draft = f".{base}.{secrets.token_hex(8)}{_DRAFT}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                with os.fdopen(os.open(draft, flags, 0o666, dir_fd=folder), "wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(draft, base, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(draft, dir_fd=folder)
                raise

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError), _translating_errors(name, name), self._beneath.beside(name) as (folder, base):
            os.unlink(base, dir_fd=folder)

    def remove_folder(self, name: str) -> None:
        with suppress(OSError), self._beneath.beside(name) as (folder, base):
            os.rmdir(base, dir_fd=folder)

    @contextmanager
    def _making(self, name: str) -> Iterator[tuple[int, str]]:
        """Creates the parent folder of `name`; yields it as a `dir_fd`, with the last part of the name."""
        with ExitStack() as stack:
            try:
                found = stack.enter_context(self._beneath.beside(name, make=True))
            except OSError as error:
                folder = name.rpartition("/")[0]
                message = f"The folder '{folder}' cannot be made: {error.strerror}."
                raise SourceError("not_movable", message, _WRITES) from None
            yield found

    @contextmanager
    def _looking(self, name: str, missing: str = "file_not_found") -> Iterator[None]:
        """Turns OSError from reading into SourceError."""
        try:
            yield
        except OSError as error:
            raise (self.missing(name, missing) if error.errno in _ABSENT else _unreadable(name, error)) from None

    def _status(self, name: str) -> os.stat_result | None:
        try:
            with self._beneath.handle(name) as handle:
                return os.fstat(handle)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise _unreadable(name, error) from None

    def _behind_link(self, name: str) -> os.stat_result | None:
        try:
            return self._status(name)
        except SourceError:
            return None


def is_draft(name: str) -> bool:
    """Whether it is an unfinished file of `writing`."""
    return name.startswith(".") and name.endswith(_DRAFT)


def _stored(name: str, status: os.stat_result) -> StoredFile:
    return StoredFile(name, status.st_size, status.st_mtime, str(status.st_mtime_ns))


def _unreadable(name: str, error: OSError) -> SourceError:
    return SourceError("not_readable", f"'{name}' cannot be read: {error.strerror}.", "Let the worker's user read it.")


def _same(source: int, old: str, target: int, new: str) -> bool:
    """Whether both names are the same file: the process died between link and unlink."""
    try:
        return os.path.samestat(
            os.stat(old, dir_fd=source, follow_symlinks=False), os.stat(new, dir_fd=target, follow_symlinks=False)
        )
    except FileNotFoundError:
        return False


def _rename_alone(source: int, old: str, target: int, new: str) -> None:
    """For file systems without hard links: reserves the new name, which fails if it exists, then renames over it."""
    os.stat(old, dir_fd=source, follow_symlinks=False)  # raises if the file is missing, before a name is reserved
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, dir_fd=target))
    try:
        os.rename(old, new, src_dir_fd=source, dst_dir_fd=target)
    except OSError:
        os.unlink(new, dir_fd=target)
        raise


@contextmanager
def _translating_errors(name: str, to: str) -> Iterator[None]:
    """Turns OSError from writing or moving into SourceError."""
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
