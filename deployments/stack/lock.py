"""One stack per data folder: a lock the kernel drops when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from deployments.stack.errors import StackError
from deployments.stack.state import StackState


class AlreadyRunning(StackError):
    """A stack runs on this folder; `pid` is its supervisor."""

    def __init__(self, root: Path, pid: int | None) -> None:
        state = StackState.read(root / "stack.json")
        where = f", its API at {state.api_url}" if state is not None else ""
        super().__init__(
            f"Headrace already runs on {root} (process {pid}{where}).",
            f"Stop it with `headrace down --data-dir {root}`, or choose another --data-dir.",
        )
        self.pid = pid


class StackLock:
    """Held by a running supervisor. As a context manager it raises AlreadyRunning when somebody else holds it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def __enter__(self) -> StackLock:
        # Never inherited by a child (PEP 446), so it cannot outlive the supervisor in one of its parts.
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise AlreadyRunning(self._path.parent, holder(self._path)) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        self._descriptor = descriptor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def holder(path: Path) -> int | None:
    """The process that holds the lock `path` now; None when nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, 32).decode(errors="replace")
        return int(text) if text.isdigit() else None
    finally:
        os.close(descriptor)
    return None
