"""The worker's side of the fork server: starts it, requests forks over one connection, and waits for the runs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from headrace.deployments.stack.process import die_with_parent, exit_text
from headrace.deployments.worker.certificates import minimal_ca_bundle
from headrace.deployments.worker.fork_server import NO_NATIVE_THREADS
from headrace.flows.runtime.memory.process_limits import LOW_MEMORY_ENV

_READY_SECONDS = 90.0
_FORK_SECONDS = 10.0
_STOP_SECONDS = 45.0


class ForkServerLost(Exception):
    """The fork server ended, does not answer, or could not fork."""


class ForkedRun:
    """A run's process. `returncode` is None while it runs, negative when a signal ended it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = asyncio.Event()

    async def wait(self) -> int:
        """Returns the return code once the process has ended."""
        await self._ended.wait()
        assert self.returncode is not None, "set before the event"
        return self.returncode

    def end(self, code: int) -> None:
        """Records the end of the process; called once."""
        self.returncode = code
        self._ended.set()


class ForkClient:
    """Starts a fork server and forks runs from it. An async context manager, which stops the runs at its exit."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[list[str]] | None = None
        self._forking: dict[str, asyncio.Future[ForkedRun]] = {}
        self._running: dict[str, ForkedRun] = {}
        self._repairing = asyncio.Lock()

    def spawn(self) -> None:
        """Starts the fork server, which begins to import; must be called on the main thread."""
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", "headrace.deployments.worker.fork_server", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={
                    **LOW_MEMORY_ENV,
                    **os.environ,
                    **minimal_ca_bundle(os.environ),
                    **NO_NATIVE_THREADS,
                    "PYTHONSAFEPATH": "1",
                },
                preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509
            )

    async def __aenter__(self) -> ForkClient:
        """Connects to the fork server, and starts it if needed; `ready` waits for its imports."""
        if self._socket is None:
            self.spawn()
        await self._connect()
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._process is not None
        assert self._writer is not None
        if self._writer.can_write_eof() and not self._writer.is_closing():
            self._writer.write_eof()  # it stops the runs, and still reports how each ended
        try:
            await asyncio.to_thread(self._process.wait, _STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._reading is not None
        await self._reading
        self._writer.close()

    async def ready(self) -> list[str]:
        """Waits until everything is imported; returns the threads that make forking unsafe. Raises ZygoteLost.

        A fork server that has ended (for example, out of memory) is replaced here; its runs ended with it.
        """
        async with self._repairing:
            if self._reading is not None and self._reading.done():
                self.spawn()
                await self._connect()
        assert self._ready is not None
        try:
            return await asyncio.wait_for(asyncio.shield(self._ready), _READY_SECONDS)
        except TimeoutError:
            raise ForkServerLost(f"the fork server was not ready within {_READY_SECONDS:.0f} s") from None

    async def fork(self, environment: Mapping[str, str | None], folder: Path) -> ForkedRun:
        """Forks a run with these changes to the environment (None unsets), in `folder`. Raises ZygoteLost."""
        await self.ready()
        assert self._writer is not None
        key = uuid4().hex
        future: asyncio.Future[ForkedRun] = asyncio.get_running_loop().create_future()
        self._forking[key] = future
        request = {"fork": key, "env": dict(environment), "folder": str(folder)}
        try:
            self._writer.write(json.dumps(request).encode() + b"\n")
            return await asyncio.wait_for(future, _FORK_SECONDS)
        except TimeoutError:
            raise ForkServerLost(f"the fork server did not fork within {_FORK_SECONDS:.0f} s") from None
        finally:
            self._forking.pop(key, None)

    async def _connect(self) -> None:
        assert self._socket is not None
        self._socket.setblocking(False)
        reader, self._writer = await asyncio.open_connection(sock=self._socket)
        self._ready = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        assert self._ready is not None
        with suppress(ConnectionError):  # it was killed
            while line := await reader.readline():
                self._take(json.loads(line))
        assert self._process is not None
        lost = ForkServerLost(f"the fork server {exit_text(await asyncio.to_thread(self._process.wait))}")
        waiting: list[asyncio.Future[Any]] = [self._ready, *self._forking.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(lost)
        for run in self._running.values():
            run.end(-signal.SIGKILL)  # they ended with the fork server
        self._running.clear()
        if not self._ready.cancelled():
            self._ready.exception()  # marked as retrieved: there may be no waiter

    def _take(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            assert self._ready is not None
            self._ready.set_result(message["ready"])
        elif "forked" in message:
            run = ForkedRun(message["pid"])
            self._running[message["forked"]] = run
            future = self._forking.get(message["forked"])
            if future is not None and not future.done():
                future.set_result(run)
            else:
                os.kill(run.pid, signal.SIGKILL)  # too late: the run was reported to Prefect as not started
        elif "refused" in message:
            future = self._forking.get(message["refused"])
            if future is not None and not future.done():
                future.set_exception(ForkServerLost(f"the fork server could not fork: {message['reason']}"))
        elif "exited" in message:
            self._running.pop(message["exited"]).end(message["code"])
