"""Local copies of remote files, in unnamed temporary files that do not outlive the process."""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from headrace.connectors.errors import SourceError
from headrace.connectors.files.local.safe_open import path_of_fd

KEPT_BYTES = 4 << 30
"""The most bytes of copies that are not in use."""


def unnamed_file(folder: Path | None) -> int:
    """An open file without a name, in `folder` or the system's folder for temporary files. Raises OSError."""
    place = folder or Path(tempfile.gettempdir())
    if hasattr(os, "O_TMPFILE"):
        with suppress(OSError):  # not supported by this file system
            return os.open(place, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    opened, name = tempfile.mkstemp(dir=place)
    os.unlink(name)
    return opened


class FileCopies:
    """Copies by key. They are deleted with this object; forked processes do not share it."""

    def __init__(self, folder: Path | None = None, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._folder, self._kept_bytes = folder, kept_bytes
        self._lock = threading.Lock()
        self._copies: OrderedDict[Hashable, _FileCopy] = OrderedDict()
        weakref.finalize(self, _close_all, self._copies)

    @contextmanager
    def of(self, key: Hashable, fill: Callable[[int], None]) -> Iterator[Path]:
        """The path to a copy, valid while the context is open. `fill` writes a missing copy. Raises what `fill` raises,
        and SourceError(`no_room`)."""
        with self._lock:
            copy = self._copies.setdefault(key, _FileCopy())
            copy.readers += 1
        try:
            with copy.filling:
                if copy.file is None:
                    copy.file = self._filled(fill)
            yield path_of_fd(copy.file)
        finally:
            self._left(key, copy)

    def _filled(self, fill: Callable[[int], None]) -> int:
        try:
            opened = unnamed_file(self._folder)
        except OSError as error:
            raise self._no_room(error) from None
        try:
            fill(opened)
        except OSError as error:
            os.close(opened)
            raise self._no_room(error) from None
        except BaseException:
            os.close(opened)
            raise
        return opened

    def _left(self, key: Hashable, copy: _FileCopy) -> None:
        with self._lock:
            copy.readers -= 1
            if copy.file is None:  # filling it failed
                if not copy.readers:
                    self._copies.pop(key, None)
                return
            self._copies.move_to_end(key)
            idle = [(each, held) for each, held in self._copies.items() if not held.readers and held.file is not None]
            held_bytes = sum(held.size for _, held in idle)
            for each, held in idle[:-1]:  # the last one is likely to be needed next
                if held_bytes <= self._kept_bytes:
                    break
                held_bytes -= held.size
                del self._copies[each]
                held.close()

    def _no_room(self, error: OSError) -> SourceError:
        where = f"'{self._folder}'" if self._folder else "the folder for temporary files"
        return SourceError(
            "no_room",
            f"The file cannot be copied into {where}: {error.strerror or error}.",
            "Make room there, or set TMPDIR to a folder that has some.",
        )


class _FileCopy:
    def __init__(self) -> None:
        self.filling = threading.Lock()
        self.file: int | None = None
        self.readers = 0

    @property
    def size(self) -> int:
        return 0 if self.file is None else os.fstat(self.file).st_size

    def close(self) -> None:
        if self.file is not None:
            os.close(self.file)


def _close_all(copies: OrderedDict[Hashable, _FileCopy]) -> None:
    for each in copies.values():
        each.close()
