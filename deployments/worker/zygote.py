"""The process that runs are forked from: it imports everything once, starts no thread, and forks on request.

Started by the worker as `python -P -m deployments.worker.zygote <fd>`, where fd is one end of a Unix stream socket.
Lines of JSON go over it. From the worker: `{"fork": key, "env": {...}, "folder": path}`; null unsets a variable.
To the worker: `{"ready": [thread, ...]}` once, `{"forked": key, "pid": n}` or `{"refused": key, "reason": text}`, and
`{"exited": key, "code": n}`, negative for a signal. When the worker closes its side, the runs and this process end.

A fork copies one thread only, so a lock held by any other would stay locked in the child for ever: that is why nothing
here may start one (`ready` names those that did). Prefect's clients, polars' and Arrow's pools start theirs on first
use, in the child; the allocators' and OpenBLAS's are turned off by `QUIET`.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import time
import traceback
import warnings
from pathlib import Path
from types import FrameType
from typing import Any

from catalog.settings import settings
from deployments.stack.process import die_with_parent

PRELOADED = (
    "prefect.main",
    "prefect.engine",
    "prefect.flow_engine",
    "prefect.task_engine",
    "prefect.task_runners",
    "prefect.artifacts",
    "prefect.events.clients",
    "prefect.events.worker",
    "prefect.logging.handlers",
    "prefect.utilities.visualization",
    "anyio._backends._asyncio",
    "encodings.idna",
    "flows.run",
)

QUIET = {
    "OPENBLAS_NUM_THREADS": "1",
    "_RJEM_MALLOC_CONF": "background_thread:false",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""Environment for this process that keeps native libraries from starting threads when they are imported."""

# polars starts it at import and cannot be told not to. It sleeps on a channel, holding nothing, until a query spills to
# disk; in a child it is missing, and spilled files then go with the temp folder only.
_HARMLESS_THREADS = frozenset({"polars-ooc-clea"})

_STOP_SECONDS = 20.0


def serve(connection: socket.socket) -> dict[str, Any] | None:
    """Forks on request until the worker closes `connection`; then ends the runs and returns None.

    Returns a second time in every forked child, with the request it was forked for.
    """
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    os.set_blocking(wake_read, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _noted)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the worker decides when this ends: it closes the connection
    gc.collect()
    gc.freeze()  # what is imported stays shared with the children: their collector never touches those pages
    children: dict[int, str] = {}
    _tell(connection, {"ready": other_threads()})
    pending = b""
    while True:
        readable, _, _ = select.select([connection.fileno(), wake_read], [], [])
        if wake_read in readable:
            os.read(wake_read, 4096)
            for pid, code in _reap():
                _tell(connection, {"exited": children.pop(pid), "code": code})
        if connection.fileno() in readable:
            received = connection.recv(65536)
            if not received:
                _end(connection, children)
                return None
            *lines, pending = (pending + received).split(b"\n")
            for line in lines:
                request: dict[str, Any] = json.loads(line)
                try:
                    pid = _fork()
                except OSError as error:
                    _tell(connection, {"refused": request["fork"], "reason": str(error)})
                    continue
                if pid == 0:
                    connection.close()
                    os.close(wake_read)
                    os.close(wake_write)
                    return request
                children[pid] = request["fork"]
                _tell(connection, {"forked": request["fork"], "pid": pid})


def other_threads() -> list[str]:
    """The names of this process's threads, native ones included, that make forking unsafe; only Linux can tell."""
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        return [f"unknown ({sys.platform})"]
    names = [(task / "comm").read_text().strip() for task in tasks.iterdir() if task.name != str(os.getpid())]
    return sorted(name for name in names if name not in _HARMLESS_THREADS)


def run(request: dict[str, Any]) -> None:
    """In a forked child: executes the flow run the environment names, exactly as `python -m prefect.engine` does."""
    overrides: dict[str, str | None] = request["env"]
    for name, value in overrides.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    os.chdir(request["folder"])
    if any(name.startswith("HEADRACE_") for name in overrides):
        settings.cache_clear()
    if any(name.startswith("PREFECT_") and not name.startswith("PREFECT__") for name in overrides):
        _reload_settings()
    sys.argv = ["prefect.engine"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # it is imported already; that is the point
        runpy.run_module("prefect.engine", run_name="__main__")


def _fork() -> int:
    arrange = die_with_parent(signal.SIGKILL)
    pid = os.fork()
    if pid == 0:
        arrange()
        # Its own session: a signal for the worker's group must not reach a run before the reason for it does.
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        gc.enable()
    return pid


def _noted(_number: int, _frame: FrameType | None) -> None:
    """The wake-up descriptor says the rest; without a handler there would be none."""


def _reap() -> list[tuple[int, int]]:
    """The children that ended since last time, with their return codes."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, os.waitstatus_to_exitcode(status)))


def _end(connection: socket.socket, children: dict[int, str]) -> None:
    """Asks all runs to stop, and kills those that have not within 20 s."""
    for number, patience in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, _STOP_SECONDS)):
        for pid in children:
            os.kill(pid, number)  # none of them has been reaped, so no number is somebody else's
        deadline = time.monotonic() + patience
        while children and time.monotonic() < deadline:
            for pid, code in _reap():
                _tell(connection, {"exited": children.pop(pid), "code": code})
            time.sleep(0.02)


def _tell(connection: socket.socket, message: dict[str, Any]) -> None:
    try:
        connection.sendall(json.dumps(message).encode() + b"\n")
    except OSError:
        return  # the worker is gone: the next read says so


def _reload_settings() -> None:
    """Prefect read its settings when it was imported; this run's job variables change some."""
    from prefect.context import SettingsContext
    from prefect.settings import Settings

    current = SettingsContext.get()
    assert current is not None, "importing prefect makes one"
    SettingsContext(profile=current.profile, settings=Settings()).__enter__()


def _main() -> None:
    connection = socket.socket(fileno=int(sys.argv[1]))
    # Newer Pythons warn of every fork beside any other thread; `other_threads` looks closer.
    warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
    for module in PRELOADED:
        try:
            importlib.import_module(module)
        except ImportError:
            traceback.print_exc()  # the run that needs it will fail and say so; others need not
    from deployments.worker.rehearsal import rehearse

    rehearse()
    request = serve(connection)
    if request is not None:
        run(request)


if __name__ == "__main__":
    _main()
