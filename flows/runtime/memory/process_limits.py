"""Resource limits that the kernel enforces on a process, also for native code, and the memory that a process uses.

Measured with polars, Arrow and DuckDB (docs/limits.md): RLIMIT_AS counts what allocators only reserve, gigabytes of
it, and so is no limit of memory; RLIMIT_DATA counts what may be written to, and is within 300 MB of what is used once
Arrow's allocator is configured not to reserve a gigabyte at once. An allocation beyond it fails at once, however large.
"""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

SLACK = 256 * 1024**2
"""Bytes added to a limit on used memory to get RLIMIT_DATA: thread stacks and memory that allocators keep."""

ARENAS = "MIMALLOC_ARENA_EAGER_COMMIT"
LOW_MEMORY_ENV = {
    ARENAS: "0",
    "RUST_BACKTRACE": "0",  # a backtrace for a failed allocation needs more memory than the allocation
}
"""Environment variables for processes with a memory limit."""

_FILES = 256
_FILE_BYTES = 2 * 1024**3
_OOM_SCORE_CHILD, _OOM_SCORE_RUN = "900", "300"
_PAGE = os.sysconf("SC_PAGE_SIZE")


def limit_process(memory: int) -> None:
    """Limits this process permanently: `memory` bytes more than it uses now, 256 open files of at most 2 GiB, no core
    dump, and a high priority for the kernel's out-of-memory killer."""
    _at_most(resource.RLIMIT_CORE, 0)
    _at_most(resource.RLIMIT_NOFILE, _FILES)
    _at_most(resource.RLIMIT_FSIZE, _FILE_BYTES)
    if (now := writable(os.getpid())) is not None:
        _at_most(resource.RLIMIT_DATA, now + memory + SLACK)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE_CHILD, encoding="ascii")


def _at_most(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def used(pid: int) -> int:
    """The memory of a process in bytes, without mapped files; 0 when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_bytes().split()
    except OSError:
        return 0
    return (int(fields[1]) - int(fields[2])) * _PAGE if len(fields) > 2 else 0


def writable(pid: int) -> int | None:
    """The bytes that count for RLIMIT_DATA; None when /proc does not have them."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmData:")), None)


def raise_oom_score() -> None:
    """Makes the kernel's out-of-memory killer prefer this process, a run, to its worker, database and Prefect."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE_RUN, encoding="ascii")
