"""Opens files and folders below a root folder and nothing outside it, without races."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from headrace.connectors.errors import SourceError
from headrace.connectors.files.paths import PATH_RULE, escapes_root, is_valid_path

if sys.platform == "linux":
    _HANDLE, _BY_NUMBER = os.O_PATH, "/proc/self/fd"
else:  # opening a pipe there does not block
    _HANDLE, _BY_NUMBER = os.O_RDONLY | os.O_NONBLOCK, "/dev/fd"

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def relative_path(name: str) -> PurePosixPath:
    """The name as a relative path. Raises SourceError(`path_outside_root`, `bad_path`)."""
    if not is_valid_path(name):
        raise SourceError("bad_path", f"{name!r} is not a path.", "It holds a character that no file system allows.")
    if escapes_root(name):
        raise outside_root(name)
    return PurePosixPath(name)


def outside_root(name: str) -> SourceError:
    """The error for a path outside the root."""
    return SourceError("path_outside_root", f"'{name}' is not inside the files folder.", PATH_RULE)


def kind_of_file(mode: int) -> str:
    """The kind of something that is not a regular file, by its `st_mode`."""
    return _KINDS.get(stat.S_IFMT(mode), "not a regular file")


class RootedFolder:
    """Files and folders below `root`, which may itself be a link. All methods raise OSError, and SourceError
    (`path_outside_root`, `bad_path`)."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))

    @contextmanager
    def handle(self, name: str) -> Iterator[int]:
        """A handle for the name. Links are followed as long as they stay below the root."""
        opened = os.open(self.root / relative_path(name), _HANDLE | os.O_CLOEXEC)
        try:
            self.check(opened, name)
            yield opened
        finally:
            os.close(opened)

    @contextmanager
    def file(self, name: str) -> Iterator[int]:
        """A regular file, open for reading. Raises SourceError(`not_a_file`) for anything else."""
        with self.handle(name) as handle:
            mode = os.fstat(handle).st_mode
            if not stat.S_ISREG(mode):
                raise SourceError("not_a_file", f"'{name}' is {kind_of_file(mode)}.", "Only regular files are read.")
            opened = os.open(path_of_fd(handle), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            yield opened
        finally:
            os.close(opened)

    @contextmanager
    def folder(self, name: str, *, make: bool = False) -> Iterator[int]:
        """A folder as a `dir_fd`; with `make`, missing folders are created."""
        path = relative_path(name)
        opened = os.open(self.root, _HANDLE | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in path.parts:
                within = _open_folder(opened, part, make=make)
                os.close(opened)
                opened = within
                self.check(opened, name)
            yield opened
        finally:
            os.close(opened)

    @contextmanager
    def beside(self, name: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """The parent folder of a name as a `dir_fd`, and the last part of the name, which need not exist."""
        path = relative_path(name)
        if not path.name:
            raise outside_root(name)
        with self.folder(path.parent.as_posix(), make=make) as folder:
            yield folder, path.name

    def check(self, opened: int, name: str) -> None:
        """Raises SourceError unless the open file is the root or below it."""
        if not Path(_real_path(opened)).is_relative_to(self.root):
            raise outside_root(name)


def path_of_fd(opened: int) -> Path:
    """A path to an open file in this process, even if the file is renamed or deleted."""
    return Path(_BY_NUMBER, str(opened))


@contextmanager
def scan_folder(folder: int) -> Iterator[Iterator[os.DirEntry[str]]]:
    """Scans a folder that is open as a handle."""
    readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        with os.scandir(readable) as found:
            yield found
    finally:
        os.close(readable)


def _open_folder(folder: int, part: str, *, make: bool) -> int:
    flags = _HANDLE | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        return os.open(part, flags, dir_fd=folder)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):  # another process has created it, or a dangling link is there
        os.mkdir(part, dir_fd=folder)
    return os.open(part, flags, dir_fd=folder)


def _real_path(opened: int) -> str:
    if sys.platform == "darwin":
        return os.fsdecode(fcntl.fcntl(opened, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0"))
    try:
        return os.readlink(path_of_fd(opened))
    except FileNotFoundError:
        raise SourceError("not_readable", "Files cannot be opened safely here.", "Mount /proc.") from None
