"""The memory limit of a run: the configured value, or a share of the memory of the machine or container."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

from headrace.catalog.settings import limits
from headrace.catalog.sizes import parse_bytes

DEFAULT_RUNS_AT_ONCE = 4
"""Runs that share a machine, when the number is not configured."""
_FOR_RUNS = 0.75
"""Share of the machine's memory for runs; the rest is for the system, the database's cache and other processes."""
MIN_RUN_MEMORY = 1024**3
"""The minimum limit of a run in bytes, if the machine has as much; a run of a million rows needs half of it."""

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")

_override: int | None = None


def memory_limit() -> int:
    """The memory limit of this process in bytes: HEADRACE_RUN_MEMORY_LIMIT, else three quarters of the machine's memory
    divided by the number of concurrent runs, at least 1 GiB."""
    if _override is not None:
        return _override
    given = limits()
    machine = machine_memory()
    if given.run_memory_limit:
        return parse_bytes(given.run_memory_limit, whole=machine)
    for_runs = int(machine * _FOR_RUNS)
    return min(for_runs, max(MIN_RUN_MEMORY, for_runs // (given.runs_at_once or DEFAULT_RUNS_AT_ONCE)))


def set_memory_limit(limit: int | None) -> None:
    """Overrides `memory_limit` in this process, for previews; None restores the default."""
    global _override  # noqa: PLW0603
    _override = limit


def machine_memory() -> int:
    """The memory in bytes of the machine, or of the container when that is smaller."""
    return min([psutil.virtual_memory().total, *_cgroup_limits()])


def _cgroup_limits() -> Iterator[int]:
    """The memory limits of this process's control groups, from its own to the root."""
    try:
        lines = (_PROC / "self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return  # not Linux
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, inner = rest.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        root, name = (_CGROUPS / "memory", "memory.limit_in_bytes") if controllers else (_CGROUPS, "memory.max")
        place = root / inner.strip("/")
        for folder in (place, *place.parents):
            if folder != root and root not in folder.parents:
                break
            try:
                text = (folder / name).read_text(encoding="ascii").strip()
            except OSError:
                continue  # inside a container, its own group is mounted as the root
            if text.isdigit():
                yield int(text)
