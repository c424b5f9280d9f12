"""A lock of a module in a process that forks."""

from __future__ import annotations

import os
import threading
from types import TracebackType


class ForkLock:
    """A lock that is free in a forked child, also if a thread held it at the fork: the child does not have that thread,
    and nobody would ever release it there. Only for locks that live as long as their module. What the lock guards must
    be usable as that thread left it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._renew)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()

    def _renew(self) -> None:
        self._lock = threading.Lock()
