"""The files below a folder of an SFTP account as a store of files."""

from __future__ import annotations

import stat
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from headrace.connectors.errors import SourceError
from headrace.connectors.files.selection import StoredFile
from headrace.connectors.files.store import OpenedFile
from headrace.connectors.stores.downloads import ConnectionCut, retried
from headrace.connectors.stores.file_copies import FileCopies
from headrace.connectors.stores.remote import changed, checked_path, missing, opened
from headrace.connectors.stores.sftp.blocks import Blocks, NotWritten, OtherVersion, download
from headrace.connectors.stores.sftp.session import SessionLost, SshSession

if TYPE_CHECKING:
    import asyncssh

T = TypeVar("T")

_PAUSES_S = (0.2, 1.0, 3.0)
_SMALL = 16 << 20
_WRITES = "The account needs to write in the source's folder and in those of config.atomicity."


class SftpFiles:
    """A FileStore. Many servers report times in whole seconds: a change within the same second that keeps the size goes
    unnoticed."""

    def __init__(self, session: SshSession, place: str, base: str, scratch: Path | None = None) -> None:
        """`base` is the folder that names are relative to: absolute, or relative to the login folder."""
        self._session, self.place, self._base = session, place, base
        self._copies = FileCopies(scratch)

    def is_file(self, name: str) -> bool:
        return self.stat(name) is not None

    def is_folder(self, name: str) -> bool:
        found = self._status(checked_path(name))
        return found is not None and stat.S_ISDIR(found.permissions or 0)

    def stat(self, name: str) -> StoredFile | None:
        path = checked_path(name)
        found = self._status(path)
        return _stored(path, found) if found is not None and stat.S_ISREG(found.permissions or 0) else None

    def listing(self, folder: str) -> list[StoredFile]:
        path = checked_path(folder)
        entries = self._entries(path)
        if entries is None:
            raise self.missing(folder)
        files = []
        for name, attributes in entries:
            inside = f"{path}/{name}" if path else name
            mode = attributes.permissions or 0
            if stat.S_ISREG(mode):
                files.append(_stored(inside, attributes))
            elif stat.S_ISLNK(mode) and (found := self.stat(inside)) is not None:
                files.append(found)
        return files

    def folders(self, name: str) -> list[str]:
        """Links are left out."""
        entries = self._entries(checked_path(name)) or []
        return sorted(each for each, attributes in entries if stat.S_ISDIR(attributes.permissions or 0))

    @contextmanager
    def opened(self, name: str, *, missing: str = "file_not_found") -> Iterator[OpenedFile]:
        """Opens a local copy of one version."""
        path = checked_path(name)
        file = self.stat(path)
        if file is None:
            if self._status(path) is not None:
                raise SourceError("not_a_file", f"'{name}' is not a regular file.", "Only regular files are read.")
            raise self.missing(name, missing)
        size, version = file.size, file.version

        def is_it(now: asyncssh.SFTPAttrs) -> bool:
            return (now.size or 0, _stored(path, now).version) == (size, version)

        def fill(into: int) -> None:
            def more(start: int) -> int:
                blocks = Blocks(into, start)
                try:
                    self._once(path, lambda client: download(client, self._at(path), is_it, size, blocks))
                except SessionLost as lost:
                    if blocks.reached == start:
                        raise ConnectionCut(str(lost)) from None
                except (FileNotFoundError, OtherVersion):
                    raise changed(name) from None
                except NotWritten as error:
                    raise error.__cause__ or error from None
                return blocks.reached

            retried(0, size, more)

        with opened(self._copies, file, fill, lambda: self.stat(path)) as found:
            yield found

    def missing(self, name: str, code: str = "file_not_found") -> SourceError:
        return missing(name, code, self._there, self.place)

    def take(self, name: str, to: str) -> bool:
        """A rename on the server: of several callers one succeeds."""
        path, target = checked_path(name), checked_path(to)
        if not self._is_file_itself(path):
            return False
        self._make_folder_of(target)
        try:
            self._renamed(path, target)
        except (FileNotFoundError, FileExistsError):
            return False
        return True

    def put(self, name: str, to: str) -> None:
        path, target = checked_path(name), checked_path(to)
        if not self._is_file_itself(path):
            raise FileNotFoundError(name)
        if self._status(target, follow=False) is not None:
            raise FileExistsError(to)
        self._make_folder_of(target)
        self._renamed(path, target)

    def read(self, name: str) -> str | None:
        path = checked_path(name)

        async def text(client: asyncssh.SFTPClient) -> bytes:
            async with client.open(self._at(path), "rb") as there:
                size = (await there.stat()).size or 0
                if size > _SMALL:
                    raise SourceError("bad_record", f"'{name}' has {size:,} bytes: it is not one of Headrace's.")
                got: bytes = await there.read(size, 0)
                return got

        try:
            return self._ask(path, text).decode(errors="replace")
        except FileNotFoundError:
            return None

    def write(self, name: str, text: str) -> None:
        """Writes to a temporary name, then renames atomically."""
        path = checked_path(name)
        self._make_folder_of(path)
        parent, base = PurePosixPath(path).parent, PurePosixPath(path).name
        draft = (parent / f".{base}.{uuid4().hex[:12]}.tmp").as_posix()

        async def written(client: asyncssh.SFTPClient) -> None:
            import asyncssh

            async with client.open(self._at(draft), "wb") as there:
                await there.write(text.encode())
            try:
                await client.posix_rename(self._at(draft), self._at(path))
            except asyncssh.SFTPOpUnsupported:
                raise SourceError(
                    "not_movable",
                    f"{self.place} cannot replace a file in one step (posix-rename@openssh.com).",
                    "Read without config.atomicity.",
                ) from None

        self._ask(path, written, "not_movable")

    def remove(self, name: str) -> None:
        path = checked_path(name)

        async def removed(client: asyncssh.SFTPClient) -> None:
            await client.remove(self._at(path))

        try:
            self._ask(path, removed, "not_movable")
        except FileNotFoundError:
            return

    def remove_folder(self, name: str) -> None:
        path = checked_path(name)

        async def removed(client: asyncssh.SFTPClient) -> None:
            await client.rmdir(self._at(path))

        try:
            self._ask(path, removed)
        except (SourceError, FileNotFoundError):  # it is not empty
            return

    def _at(self, path: str) -> str:
        return (PurePosixPath(self._base or ".") / path).as_posix()

    def _status(self, path: str, *, follow: bool = True) -> asyncssh.SFTPAttrs | None:
        async def status(client: asyncssh.SFTPClient) -> asyncssh.SFTPAttrs:
            at = self._at(path)
            return await (client.stat(at) if follow else client.lstat(at))

        try:
            return self._ask(path, status)
        except FileNotFoundError:
            return None

    def _entries(self, path: str) -> list[tuple[str, Any]] | None:
        async def entries(client: asyncssh.SFTPClient) -> list[tuple[str, Any]]:
            found = await client.readdir(self._at(path))
            return [(str(each.filename), each.attrs) for each in found if each.filename not in (".", "..")]

        try:
            return self._ask(path, entries)
        except FileNotFoundError:
            return None

    def _there(self, folder: str) -> Sequence[str] | None:
        entries = self._entries(folder)
        if entries is None:
            return None
        return [f"{name}/" if stat.S_ISDIR(found.permissions or 0) else name for name, found in entries]

    def _is_file_itself(self, path: str) -> bool:
        """Whether there is a regular file to move. Raises SourceError for anything else."""
        found = self._status(path, follow=False)
        if found is None:
            return False
        if not stat.S_ISREG(found.permissions or 0):
            hint = "Put the file itself there: a moved link could point elsewhere."
            raise SourceError("not_movable", f"'{path}' is a link or a folder, not a file.", hint)
        return True

    def _make_folder_of(self, path: str) -> None:
        parent = PurePosixPath(path).parent.as_posix()
        if parent == ".":
            return

        async def made(client: asyncssh.SFTPClient) -> None:
            await client.makedirs(self._at(parent), exist_ok=True)

        self._ask(parent, made, "not_movable")

    def _renamed(self, path: str, to: str) -> None:
        """Renames. Raises FileNotFoundError, FileExistsError. If the answer is lost, the result is checked on the
        server."""
        before = self._status(path, follow=False)

        async def renamed(client: asyncssh.SFTPClient) -> None:
            await client.rename(self._at(path), self._at(to))

        try:
            self._once(path, renamed, "not_movable")
        except SessionLost:
            there, left = self._status(to, follow=False), self._status(path, follow=False)
            if left is None and there is not None and before is not None and _same(there, before):
                return
            self._once(path, renamed, "not_movable")
        except SourceError:
            if self._status(path, follow=False) is None:
                raise FileNotFoundError(path) from None
            if self._status(to, follow=False) is not None:
                raise FileExistsError(to) from None
            raise

    def _ask(self, path: str, question: Callable[[Any], Awaitable[T]], code: str = "not_readable") -> T:
        """Sends a request that may be repeated after a lost connection."""
        for pause in _PAUSES_S:
            try:
                return self._once(path, question, code)
            except SessionLost:
                time.sleep(pause)
        try:
            return self._once(path, question, code)
        except SessionLost:
            raise SourceError(
                "connection_lost", f"The connection to {self.place} ends again and again.", "Retry the run later."
            ) from None

    def _once(self, path: str, question: Callable[[Any], Awaitable[T]], code: str = "not_readable") -> T:
        import asyncssh

        try:
            return self._session.ask(question)
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath, asyncssh.SFTPNotADirectory):
            raise FileNotFoundError(path) from None
        except asyncssh.SFTPFileAlreadyExists:
            raise FileExistsError(path) from None
        except asyncssh.SFTPPermissionDenied:
            hint = _WRITES if code == "not_movable" else "Let the account read it."
            raise SourceError("access_refused", f"'{path}' in {self.place}: permission denied.", hint) from None
        except asyncssh.SFTPError as error:
            said = (error.reason or type(error).__name__)[:200].rstrip(".")
            hint = "" if code == "not_readable" else _WRITES
            raise SourceError(code, f"'{path}' in {self.place}: {said}.", hint) from None


def _stored(path: str, found: asyncssh.SFTPAttrs) -> StoredFile:
    mtime = float(found.mtime or 0) + (found.mtime_ns or 0) / 1e9
    return StoredFile(path, found.size or 0, mtime, f"{found.mtime or 0}.{found.mtime_ns or 0}")


def _same(one: asyncssh.SFTPAttrs, other: asyncssh.SFTPAttrs) -> bool:
    return (one.size, one.mtime) == (other.size, other.mtime)
