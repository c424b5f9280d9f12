"""Limits of a query: memory, threads, disk space."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from headrace.flows.runtime.memory.limit import memory_limit

_MIN_BYTES = 256 * 1024 * 1024
_SHARE = 3


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """`memory` in bytes (0: a third of the run's memory limit), `folder` for data that does not fit into it (None:
    the system's temporary folder), and `stopped`, which is set when the run stops."""

    memory: int = 0
    threads: int = 0
    folder: Path | None = None
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def memory_bytes(self) -> int:
        """The memory limit of the engine, in bytes."""
        return self.memory or max(_MIN_BYTES, memory_limit() // _SHARE)


QUERY_LIMITS: ContextVar[QueryLimits | None] = ContextVar("QUERY_MEANS", default=None)
"""The limits of queries in this context; None: those of a preview, which is not stopped."""
