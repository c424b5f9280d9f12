"""Flows with unusual behaviour, for tests of the worker."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from prefect import flow, task


def _note(note: str, text: str) -> None:
    Path(note).write_text(text)


@flow
def report(note: str) -> None:
    """Writes down which process it is, and whose child."""
    _note(note, f"{os.getpid()} {os.getppid()}")


@task
def double(number: int) -> int:
    return 2 * number


@flow
async def with_tasks(note: str) -> None:
    """Submits tasks, which run in threads of the fork."""
    futures = [double.submit(number) for number in range(8)]
    _note(note, str(sum(future.result() for future in futures)))


@flow
def killed(note: str) -> None:
    """Dies as a process does that the system kills."""
    _note(note, str(os.getpid()))
    os.kill(os.getpid(), signal.SIGKILL)


@flow
def broken(note: str) -> None:
    """Fails as flows do."""
    raise ValueError(f"nothing to write to {note}")


@flow
def endless(note: str) -> None:
    """Runs until it is stopped."""
    _note(note, str(os.getpid()))
    time.sleep(300)
