"""What every child process of the stack needs: dying with its parent, a log, and words for how it ended."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LOG_BYTES = 16 * 1024 * 1024

# Looked up before any fork: between fork and exec nothing may be imported or allocated lazily.
_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


def die_with_parent(signal_number: int) -> Callable[[], None]:
    """A `preexec_fn` that has the kernel send `signal_number` when the parent's starting thread ends (Linux only).

    Start such children from the main thread: the kernel watches the thread, not the process.
    """
    parent = os.getpid()

    def arrange() -> None:
        if _prctl is None:
            return
        _prctl(_PR_SET_PDEATHSIG, signal_number)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return arrange


def last_lines(log: Path, lines: int = 20) -> str:
    """The end of a log file, indented for a message; a short remark when there is none."""
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
    """Puts a line between this start and the last in a log file, and sets a log that grew large aside."""
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    with log.open("a", encoding="utf-8") as file:
        file.write(f"--- {title}, {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n")


def ending(code: int) -> str:
    """How a process ended, in words, from its return code."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
