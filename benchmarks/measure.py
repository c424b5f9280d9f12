"""Wall clock, CPU seconds and memory of one load: of the processes that load, and of PostgreSQL's."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

import psutil

_EVERY_S = 0.05
SESSIONS_END_S = 0.2


class Taken(NamedTuple):
    """Seconds on the clock, CPU seconds of the loading processes and of PostgreSQL, and the peak memory (resident, of
    all loading processes together) in MB."""

    seconds: float
    client: float
    server: float
    memory: float
    beside: float = 0.0
    """CPU seconds of what runs beside: Prefect's server, the worker and the API."""


def cpu_of(processes: Iterable[psutil.Process]) -> float:
    """CPU seconds of the processes so far, with those of their children that have ended."""
    total = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def server_cpu(pid: int | None) -> float:
    """CPU seconds of the PostgreSQL server whose first process this is, those of sessions that have ended included."""
    assert pid is not None, "PostgreSQL does not run"
    server = psutil.Process(pid)
    return cpu_of([server, *server.children()])


def measured(server_pid: int | None, work: Callable[[], float]) -> Taken:
    """Measures `work`, which starts processes, waits for them and returns the seconds they took."""
    others = set(psutil.Process().children(recursive=True))
    server, before = server_cpu(server_pid), resource.getrusage(resource.RUSAGE_CHILDREN)
    peak, over = 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(_EVERY_S):
            total = 0
            for child in set(psutil.Process().children(recursive=True)) - others:
                with suppress(psutil.NoSuchProcess):
                    if child.name() != "postgres":
                        total += child.memory_info().rss
            peak = max(peak, total / 1e6)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        seconds = work()
    finally:
        over.set()
        watcher.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    time.sleep(SESSIONS_END_S)  # until the server has seen its sessions end
    client = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Taken(seconds, client, server_cpu(server_pid) - server, peak)
