"""A temporary folder per process for files that are uploaded to or downloaded from an object store.

The process holds a file lock on its folder, so the next process on the machine recognizes folders of killed processes
and removes them.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from headrace.flows.fork_lock import ForkLock

_PREFIX = "headrace-rows-"

_alone = ForkLock()
_mine: tuple[int, Path] | None = None
"""The folder and the process that owns it: a forked process creates its own."""


def scratch_folder() -> Path:
    """The folder, below TMPDIR; created at the first call. Raises OSError."""
    global _mine  # noqa: PLW0603
    with _alone:
        if _mine is None or _mine[0] != os.getpid():
            _sweep()
            _mine = os.getpid(), _made()
            atexit.register(_discard, *_mine)
        return _mine[1]


def _made() -> Path:
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        locked = _lock(path)
        if locked is not None and path.exists():  # else another process removed it between the two steps
            return path


def _sweep() -> None:
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if path.lstat().st_uid == os.getuid() and (locked := _lock(path)) is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(locked)


def _lock(path: Path) -> int | None:
    """A file descriptor that holds the lock; None when another process holds it or the folder does not exist."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(opened)
        return None
    return opened


def _discard(process: int, path: Path) -> None:
    if process == os.getpid():
        shutil.rmtree(path, ignore_errors=True)
