"""Ends a run that exceeds its memory limit with a failure reason, before the kernel kills it without one.

A thread checks the memory of the process twenty times a second. For growth faster than that, a somewhat higher rlimit
is set: the kernel refuses the allocation, and the process raises MemoryError or aborts.
"""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from headrace.catalog.sizes import format_bytes
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.memory.current_node import node_at_work
from headrace.flows.runtime.memory.limit import memory_limit
from headrace.flows.runtime.memory.process_limits import ARENAS, LOW_MEMORY_ENV, SLACK, used, writable

_POLL_S = 0.05
_ARENA = 1024**3
"""The bytes that Arrow's allocator reserves at once, unless it is configured not to (bounds.FRUGAL)."""


class OutOfMemory(RunFailed):
    """The run exceeded its memory limit."""

    def __init__(self, limit: int, node: str = "") -> None:
        self.limit, self.node = limit, node
        super().__init__(out_of_memory_text(limit, node))


def out_of_memory_text(limit: int, node: str = "") -> str:
    """The failure reason of a run that exceeded its memory limit, and what to do."""
    where = f" for the node '{node}'" if node else ""
    return (
        f"The run needed more than {format_bytes(limit)} of memory{where}. What is committed stays, and a retry "
        "continues "
        "after it: raise HEADRACE_RUN_MEMORY_LIMIT, lower batchSize or parallelism in executionConfig, or let the "
        "pipeline make fewer or smaller rows"
    )


@contextmanager
def watch_memory(over: Callable[[OutOfMemory], None]) -> Iterator[None]:
    """Calls `over` once, in a separate thread, when this process exceeds `memory_limit` inside the `with` block; `over`
    should end the process. Also sets RLIMIT_DATA somewhat above the limit."""
    limit, stopped = memory_limit(), threading.Event()

    def look() -> None:
        while not stopped.wait(_POLL_S):
            if used(os.getpid()) > limit:
                over(OutOfMemory(limit, node_at_work()))
                return

    before = resource.getrlimit(resource.RLIMIT_DATA)
    if (now := writable(os.getpid())) is not None:
        room = limit + limit // 4 + SLACK + (0 if os.environ.get(ARENAS) == LOW_MEMORY_ENV[ARENAS] else _ARENA)
        wanted = now + room
        if before[0] == resource.RLIM_INFINITY or wanted < before[0]:
            resource.setrlimit(resource.RLIMIT_DATA, (wanted, before[1]))
    threading.Thread(target=look, name="memory", daemon=True).start()
    try:
        yield
    finally:
        stopped.set()
        resource.setrlimit(resource.RLIMIT_DATA, before)


@contextmanager
def explain_memory_errors() -> Iterator[None]:
    """Raises a MemoryError inside the `with` block as OutOfMemory, which names the node."""
    try:
        yield
    except MemoryError as error:
        raise OutOfMemory(memory_limit(), node_at_work()) from error
