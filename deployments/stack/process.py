"""Child processes: end with the parent, logs, exit codes in words, pauses between restarts, no core dumps."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LOG_BYTES = 16 * 1024 * 1024

# Loaded before any fork: between fork and exec nothing may be imported or allocated.
_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


def die_with_parent(signal_number: int) -> Callable[[], None]:
    """A `preexec_fn` that has the kernel send `signal_number` to the child when the parent's thread ends (Linux only).

    Start such children from the main thread: the kernel observes the thread, not the process.
    """
    parent = os.getpid()

    def arrange() -> None:
        if _prctl is None:
            return
        _prctl(_PR_SET_PDEATHSIG, signal_number)
        if os.getppid() != parent:  # the parent died meanwhile
            os._exit(1)

    return arrange


def last_lines(log: Path, lines: int = 20) -> str:
    """The end of a log file, indented for a message; a note when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 16_384))
            text = file.read().decode(errors="replace")
    except OSError:
        return "    (no log)"
    kept = [line for line in text.splitlines() if line.strip()][-lines:]
    return "\n".join(f"    {line}" for line in kept) or "    (its log is empty)"


def start_log(log: Path, title: str) -> None:
    """Writes a line to the log that marks a start; renames a log larger than 16 MiB before."""
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a", encoding="utf-8") as file:
        file.write(f"--- {title}, {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n")


def exit_text(code: int) -> str:
    """A return code in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


CALM_SECONDS = 10.0
"""A process that lived this long counts as healthy again."""
LONGEST_PAUSE = 30.0


class Restarts:
    """The restarts of one component. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = -CALM_SECONDS
        self._due: float | None = None
        self.in_a_row = 0
        """How often it died in succession, including this time."""

    def due(self) -> bool:
        """Called repeatedly while the process is dead; True when it should be started now. Pauses are 0, 1, 2, 4 … 30
        seconds."""
        now = self._clock()
        if self._due is None:
            self.in_a_row = 1 if now - self._last >= CALM_SECONDS else self.in_a_row + 1
            self._due = now + (min(2.0 ** (self.in_a_row - 2), LONGEST_PAUSE) if self.in_a_row > 1 else 0)
        if now < self._due:
            return False
        self._due, self._last = None, now
        return True


def forbid_core_dumps() -> None:
    """Disables core dumps of this process and its children."""
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
