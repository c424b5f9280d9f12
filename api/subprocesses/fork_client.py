"""Client of the fork server: sends jobs to it and awaits their results without a thread."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from headrace.api.subprocesses.protocol import ORDER, AllocationFailed, ChildExit, pack_call, read_answer
from headrace.deployments.worker.fork_server import NO_NATIVE_THREADS
from headrace.flows.runtime.memory.process_limits import LOW_MEMORY_ENV

_log = structlog.get_logger("headrace.api")

_START_S = 60.0
_INHERITED = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
_INHERITED_BY_PREFIX = ("PYTHON", "LC_", "POLARS_", "SSL_CERT_")
"""Environment of children. It has no pepper, no encryption key and no Prefect address: a job brings what it needs."""


@dataclass(frozen=True, slots=True)
class JobLimits:
    """Limits of one job: seconds, and bytes of memory beyond those at the fork."""

    seconds: float
    memory: int


class ChildEnded(Exception):
    """A child ended without an answer. `verdict` is None when the fork server ended as well."""

    def __init__(self, verdict: ChildExit | None) -> None:
        super().__init__("the child ended without an answer")
        self.verdict = verdict


class TimeLimitExceeded(ChildEnded):
    """The child was killed at its deadline."""


class MemoryLimitExceeded(ChildEnded):
    """The child needed more memory than its limit."""


class ForkClient:
    """Starts the fork server when it is first needed and again when it has died. Usable from any thread and loop."""

    def __init__(self, preloaded: Sequence[str]) -> None:
        """`preloaded` are the modules that the fork server imports."""
        self._preloaded = list(preloaded)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._orders: socket.socket | None = None

    def start(self) -> None:
        """Starts the fork server if it is not running; returns at once, while it imports."""
        with self._lock:
            self._running()

    def close(self) -> None:
        """Stops the fork server and all children."""
        with self._lock:
            if self._orders is None or self._process is None:
                return
            self._orders.close()
            self._process.wait()
            self._orders = self._process = None

    @property
    def pid(self) -> int | None:
        """The process id of the fork server, None while there is none."""
        return None if self._process is None else self._process.pid

    async def run(self, work: Callable[..., bytes], *arguments: Any, bounds: JobLimits) -> bytes:
        """Calls `work` in a child process and returns its result. Cancelling kills the child.

        Raises what the work raises (PlanFailed, SourceError, TargetError), TookTooMuch, TookTooLong, AnswerTooLong,
        Fault for an unexpected exception, and Ended for a child that died for another reason.
        """
        ours, theirs = socket.socketpair()
        with (
            ours,
            _anonymous_file(pack_call(work, arguments)) as request,
            _anonymous_file() as answer,
            _anonymous_file() as printed,
        ):
            with theirs:
                self._order(bounds, [theirs.fileno(), request, answer, printed])
            ours.setblocking(False)
            try:
                async with asyncio.timeout(_START_S + bounds.seconds):
                    reply = await _read_all(ours)
            except TimeoutError:  # the fork server itself does not respond
                raise TimeLimitExceeded(None) from None
            if not reply:
                raise ChildEnded(None)
            verdict = ChildExit.parse(reply)
            if verdict.out_of_memory:
                raise MemoryLimitExceeded(verdict)
            if verdict.killed == "time":
                raise TimeLimitExceeded(verdict)
            if verdict.code != 0:
                _log.error("child died", code=verdict.code, printed=verdict.printed)
                raise ChildEnded(verdict)
            try:
                return await asyncio.to_thread(read_answer, answer)
            except AllocationFailed:
                raise MemoryLimitExceeded(verdict) from None

    def _order(self, bounds: JobLimits, descriptors: list[int]) -> None:
        order = ORDER.pack(bounds.seconds, bounds.memory)
        with self._lock:
            for attempt in (1, 2):
                try:
                    socket.send_fds(self._running(), [order], descriptors)
                except OSError:
                    if attempt == 2:
                        raise ChildEnded(None) from None
                    self._forget()  # it died after the check in _running
                else:
                    return

    def _running(self) -> socket.socket:
        if self._process is not None and self._process.poll() is not None:
            _log.warning("fork server ended; starting another", code=self._process.returncode)
            self._forget()
        if self._orders is None:
            self._orders, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603
                    [
                        *(sys.executable, "-P", "-m", "headrace.api.subprocesses.fork_server"),
                        *(str(theirs.fileno()), json.dumps(self._preloaded)),
                    ],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    env=_environment(),
                )
        return self._orders

    def _forget(self) -> None:
        if self._orders is not None:
            self._orders.close()
        if self._process is not None:
            self._process.wait()
        self._orders = self._process = None


def _environment() -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if name in _INHERITED or name.startswith(_INHERITED_BY_PREFIX)
    }
    here = [entry for entry in sys.path if entry and os.path.isabs(entry)]  # same packages as here
    return {**kept, **NO_NATIVE_THREADS, **LOW_MEMORY_ENV, "PYTHONPATH": os.pathsep.join(here), "PYTHONSAFEPATH": "1"}


@contextmanager
def _anonymous_file(content: bytes = b"") -> Iterator[int]:
    """The descriptor of an anonymous file, in memory where the system supports it."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("headrace", os.MFD_CLOEXEC)
        file = open(descriptor, "r+b", buffering=0)  # noqa: SIM115
    else:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
    with file:
        left = memoryview(content)
        while left:
            left = left[file.write(left) :]
        file.seek(0)
        yield file.fileno()


async def _read_all(end: socket.socket) -> bytes:
    """Reads until the other side closes."""
    loop = asyncio.get_running_loop()
    found = b""
    while True:
        try:
            got = await loop.sock_recv(end, 65536)
        except ConnectionError:
            return found
        if not got:
            return found
        found += got
