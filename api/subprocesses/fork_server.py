"""The fork server: a process with one thread that has imported what jobs need and forks a child for each.

The API starts it as `python -P -m headrace.api.subprocesses.fork_server <fd> <modules>`, where fd is one end of a Unix
stream socket and modules a JSON list. For each job it receives an ORDER over the socket with four descriptors: a socket
on which the API waits, the file with the call, a file for the answer, and one for output of the child. When the child
has ended, its Verdict is written to that socket. If the API closes that socket first, the child is killed; if it closes
the order socket, all children are killed and the process ends.

Children are watched from outside, because a thread in the child may be blocked by a native call. Memory that grows
faster than the checks is stopped by the kernel's limit (`flows.runtime.memory.process_limits`).
"""

from __future__ import annotations

import gc
import importlib
import json
import mmap
import os
import select
import signal
import socket
import sys
import time
import traceback
import warnings
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from headrace.api.subprocesses.protocol import ORDER, ChildExit, run_call
from headrace.deployments.stack.process import die_with_parent
from headrace.flows.runtime.memory.current_node import BOARD_BYTES, publish_to, read_board
from headrace.flows.runtime.memory.limit import set_memory_limit
from headrace.flows.runtime.memory.process_limits import limit_process, used

_POLL_S = 0.02
_PRINTED_BYTES = 4000
_NICENESS = 5  # niceness: the API process has priority


@dataclass(slots=True)
class _Child:
    pid: int
    waits: socket.socket
    printed: int
    board: mmap.mmap
    """Shared memory in which the child writes the node it works on."""
    ends: float
    memory: int
    born: int
    peak: int = 0
    killed: str | None = None

    def kill(self, why: str) -> None:
        """Kills it and its process group. It has not been reaped, so the pid cannot belong to another process."""
        if self.killed is None:
            self.killed = why
            with suppress(ProcessLookupError):  # it has not called setsid yet
                os.killpg(self.pid, signal.SIGKILL)
            os.kill(self.pid, signal.SIGKILL)

    def look(self) -> None:
        """Kills it when it exceeds its memory or its time."""
        self.peak = max(self.peak, used(self.pid) - self.born)
        if self.peak > self.memory:
            self.kill("memory")
        elif time.monotonic() > self.ends:
            self.kill("time")

    def ended(self, code: int) -> None:
        """Sends the verdict to the API, if it still waits."""
        size = os.fstat(self.printed).st_size
        printed = os.pread(self.printed, _PRINTED_BYTES, max(0, size - _PRINTED_BYTES)).decode(errors="replace")
        if "memory allocation of" not in printed:  # a long backtrace may follow it: read the beginning too
            printed = os.pread(self.printed, _PRINTED_BYTES, 0).decode(errors="replace") + printed
        node = read_board(self.board[:])
        with suppress(OSError):  # the API no longer waits
            self.waits.sendall(ChildExit(code, self.killed, self.peak, node, printed).as_json())
        self.waits.close()
        os.close(self.printed)
        self.board.close()


def serve(orders: socket.socket) -> None:
    """Forks a child for each order until the API closes `orders`; then kills the remaining children."""
    wake_read, wake_write = os.pipe()
    for end in (wake_read, wake_write):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _on_child_exit)
    gc.collect()
    gc.freeze()  # keeps imported objects in pages shared with the children: their collector does not write to them
    children: dict[int, _Child] = {}
    while True:
        waiting = [child.waits.fileno() for child in children.values() if child.killed is None]
        looked_at = [orders.fileno(), wake_read, *waiting]
        readable, _, _ = select.select(looked_at, [], [], _POLL_S if children else None)
        if wake_read in readable:
            os.read(wake_read, 4096)
        for pid, code in _reap():
            children.pop(pid).ended(code)
        for child in children.values():
            if child.waits.fileno() in readable:  # closed: the API never writes to it
                child.kill("gone")
            child.look()
        if orders.fileno() in readable:
            order, descriptors, _, _ = socket.recv_fds(orders, ORDER.size, 4)
            if not order:
                for child in children.values():
                    child.kill("gone")
                return
            forked = _fork(order, descriptors)
            if forked is not None:
                children[forked.pid] = forked


def _fork(order: bytes, descriptors: list[int]) -> _Child | None:
    """Forks a child for an order; None if fork fails, and the API then sees its socket close without a verdict."""
    seconds, memory = ORDER.unpack(order)
    waits, request, answer, printed = descriptors
    board = mmap.mmap(-1, BOARD_BYTES)
    arrange = die_with_parent(signal.SIGKILL)
    try:
        pid = os.fork()
    except OSError:
        pid = None
    if pid == 0:
        try:
            arrange()
            _run_child(request, answer, printed, board, memory)
        except BaseException:  # noqa: BLE001 (the child must not return into the parent's loop)
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(1)
    os.close(request)
    os.close(answer)
    if pid is None:
        os.close(waits)
        os.close(printed)
        return None
    child = _Child(pid, socket.socket(fileno=waits), printed, board, time.monotonic() + seconds, memory, 0)
    child.born = used(pid)
    return child


def _run_child(request: int, answer: int, printed: int, board: mmap.mmap, memory: int) -> NoReturn:
    """Runs the job, in the child, which keeps the three files open and no socket."""
    os.setsid()
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    for stream in (1, 2):
        os.dup2(printed, stream)
    last = 2
    for kept in sorted((request, answer)):
        os.closerange(last + 1, kept)
        last = kept
    os.closerange(last + 1, os.sysconf("SC_OPEN_MAX"))
    os.nice(_NICENESS)

    publish_to(board)
    set_memory_limit(memory)
    limit_process(memory)
    run_call(request, answer)
    sys.stdout.flush()
    os._exit(0)


def _on_child_exit(_number: int, _frame: FrameType | None) -> None:
    """Does nothing, but Python writes to the wake-up descriptor only for signals with a handler."""


def _reap() -> list[tuple[int, int]]:
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, os.waitstatus_to_exitcode(status)))


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the API ends this process by closing the socket
    # Python 3.12+ warns of forks in processes with other threads; polars's only sleeps and holds no lock.
    warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
    orders = socket.socket(fileno=int(sys.argv[1]))
    for module in json.loads(sys.argv[2]):
        importlib.import_module(module)
    serve(orders)


if __name__ == "__main__":
    _main()
