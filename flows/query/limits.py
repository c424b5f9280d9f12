"""Limits of a query: memory, threads, disk space."""

from __future__ import annotations

import resource
import threading
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_MIN_BYTES = 256 * 1024 * 1024
_SHARE = 4
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """`memory` in bytes (0: a quarter of what this process may use), `folder` for data that does not fit into it (None:
    the system's temporary folder), and `stopped`, which is set when the run stops."""

    memory: int = 0
    threads: int = 0
    folder: Path | None = None
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def memory_bytes(self) -> int:
        """The memory limit of the engine, in bytes."""
        return self.memory or max(_MIN_BYTES, _available() // _SHARE)


QUERY_LIMITS: ContextVar[QueryLimits | None] = ContextVar("QUERY_MEANS", default=None)
"""The limits of queries in this context; None: those of a preview, which is not stopped."""


def _available() -> int:
    """The memory in bytes that this process may use: the least of the machine's, the container's and its own limit."""
    found = [psutil.virtual_memory().total]
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        found.append(soft)
    for path in _LIMITS:
        try:
            text = path.read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            found.append(int(text))
    return min(found)
