"""The nodes that this process is working on, so that an error message can name one after the process died."""

from __future__ import annotations

import mmap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

BOARD = "HEADRACE_RUN_BOARD"
"""The environment variable with the path of a file from which the worker reads the node of a run that died."""
BOARD_BYTES = 256

_by_thread: dict[int, tuple[float, str]] = {}
_on_change: Callable[[str], None] | None = None


class working_on:
    """Records that the calling thread works on this node (or nodes: `clean > check`), from the call on or for the
    duration of a `with` block."""

    def __init__(self, node: str) -> None:
        self._before = _by_thread.get(threading.get_ident())
        _set((time.monotonic(), node))

    def __enter__(self) -> None:
        """Does nothing: the constructor records the node."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or not issubclass(kind, MemoryError):  # the message of the error names the node
            _set(self._before)


def _set(now: tuple[float, str] | None) -> None:
    if now is None:
        _by_thread.pop(threading.get_ident(), None)
    else:
        _by_thread[threading.get_ident()] = now
    if _on_change is not None:
        _on_change(node_at_work())


def node_at_work() -> str:
    """The node that a thread of this process has worked on for the longest time; empty when there is none."""
    return min(_by_thread.copy().values(), default=(0.0, ""))[1]


def on_change(callback: Callable[[str], None] | None) -> None:
    """Sets a callback that is called with the node on every change; None removes it."""
    global _on_change  # noqa: PLW0603
    _on_change = callback


def publish_to(board: mmap.mmap) -> None:
    """Writes every change to shared memory, to be read by another process, also after this one died."""

    def write(node: str) -> None:
        board[:] = node.encode()[:BOARD_BYTES].ljust(BOARD_BYTES, b"\0")

    on_change(write)


def publish_in_file(file: Path) -> None:
    """Like `publish_to`, in a new file."""
    with file.open("wb+") as opened:
        opened.truncate(BOARD_BYTES)
        publish_to(mmap.mmap(opened.fileno(), BOARD_BYTES))


def read_board(board: bytes) -> str:
    """The node that is written in shared memory by `publish_to`."""
    return board.rstrip(b"\0").decode(errors="replace")
