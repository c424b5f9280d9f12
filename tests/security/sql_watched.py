"""Files and a port that record every access, also by native code, which Python's audit hooks do not see."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_OPENED_OR_READ = 0x20 | 0x1
_EVENT = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)

SECRET = "hr_admin_0123456789"


@dataclass(frozen=True)
class Watched:
    """A folder with files that hold SECRET, and a port here that nobody should call."""

    folder: Path
    port: int
    _inotify: int
    _listener: socket.socket

    @property
    def csv(self) -> str:
        return str(self.folder / "secrets.csv")

    @property
    def json(self) -> str:
        return str(self.folder / "secrets.json")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/secrets.csv"

    def touched(self) -> list[str]:
        """What was opened or called since it was asked last."""
        found: list[str] = []
        try:
            events = os.read(self._inotify, 65_536)
        except BlockingIOError:
            events = b""
        while events:
            _, _, _, length = _EVENT.unpack_from(events)
            found.append(events[_EVENT.size : _EVENT.size + length].rstrip(b"\0").decode())
            events = events[_EVENT.size + length :]
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return found
        connection.close()
        return [*found, "the port"]


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    (folder / "secrets.csv").write_text(f"a\n{SECRET}\n")
    (folder / "secrets.json").write_text(f'{{\n  "key": "{SECRET}",\n  "more": 1\n}}\n')
    inotify = _libc.inotify_init1(os.O_NONBLOCK)
    assert inotify >= 0
    assert _libc.inotify_add_watch(inotify, os.fsencode(folder), _OPENED_OR_READ) >= 0
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    try:
        yield Watched(folder, listener.getsockname()[1], inotify, listener)
    finally:
        os.close(inotify)
        listener.close()
