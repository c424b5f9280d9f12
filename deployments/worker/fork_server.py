"""The fork server: imports everything once, starts no thread, and forks runs on request.

Started by the worker as `python -P -m headrace.deployments.worker.fork_server <fd>`, where fd is one end of a Unix
stream socket. Lines of JSON go over it. From the worker: `{"fork": key, "env": {...}, "folder": path}`; null unsets a
variable. To the worker: `{"ready": [thread, ...]}` once, `{"forked": key, "pid": n}` or
`{"refused": key, "reason": text}`, and `{"exited": key, "code": n}`, negative for a signal. When the worker closes its
side, the runs and this process end.

A fork copies only the calling thread, so a lock held by another thread would stay locked in the child forever: nothing
here may start a thread (`ready` lists those that were started). Prefect's clients and the pools of polars and Arrow
start theirs on first use, in the child; those of the allocators and OpenBLAS are disabled by `NO_NATIVE_THREADS`.
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

from headrace.deployments.stack.process import die_with_parent
from headrace.flows.runtime.memory.process_limits import raise_oom_score

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
    "headrace.flows.run",
    "headrace.flows.replication.run",
)

NO_NATIVE_THREADS = {
    "OPENBLAS_NUM_THREADS": "1",
    "_RJEM_MALLOC_CONF": "background_thread:false",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""Variables that keep native libraries from starting threads at import."""

# polars always starts it at import. It waits on a channel, without holding locks, until a query spills to disk; without
# it in a child, spilled files are removed with the temp folder only.
_HARMLESS_THREADS = frozenset({"polars-ooc-clea"})

_STOP_SECONDS = 20.0


def serve(connection: socket.socket) -> dict[str, Any] | None:
    """Forks on request until the worker closes `connection`; then stops the runs and returns None.

    In every forked child it also returns, with the request of the fork.
    """
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    os.set_blocking(wake_read, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _on_child_exit)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the worker ends this process by closing the connection
    gc.collect()
    gc.freeze()  # keeps imported objects shared with the children: their garbage collector does not touch these pages
    children: dict[int, str] = {}
    _send(connection, {"ready": other_threads()})
    pending = b""
    while True:
        readable, _, _ = select.select([connection.fileno(), wake_read], [], [])
        if wake_read in readable:
            os.read(wake_read, 4096)
            for pid, code in _reap_children():
                _send(connection, {"exited": children.pop(pid), "code": code})
        if connection.fileno() in readable:
            received = connection.recv(65536)
            if not received:
                _stop_children(connection, children)
                return None
            *lines, pending = (pending + received).split(b"\n")
            for line in lines:
                request: dict[str, Any] = json.loads(line)
                try:
                    pid = _fork()
                except OSError as error:
                    _send(connection, {"refused": request["fork"], "reason": str(error)})
                    continue
                if pid == 0:
                    connection.close()
                    os.close(wake_read)
                    os.close(wake_write)
                    return request
                children[pid] = request["fork"]
                _send(connection, {"forked": request["fork"], "pid": pid})


def other_threads() -> list[str]:
    """The names of threads, also native ones, that make forking unsafe; known on Linux only."""
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        return [f"unknown ({sys.platform})"]
    names = [(task / "comm").read_text().strip() for task in tasks.iterdir() if task.name != str(os.getpid())]
    return sorted(name for name in names if name not in _HARMLESS_THREADS)


def run(request: dict[str, Any]) -> None:
    """In a forked child: executes the flow run named by the environment, as `python -m prefect.engine` does."""
    own: dict[str, str | None] = request["env"]  # of this run and flow; settings are inherited
    for name, value in own.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    os.chdir(request["folder"])
    raise_oom_score()
    sys.argv = ["prefect.engine"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # already imported, on purpose
        runpy.run_module("prefect.engine", run_name="__main__")


def _fork() -> int:
    arrange = die_with_parent(signal.SIGKILL)
    pid = os.fork()
    if pid == 0:
        arrange()
        # Its own session: a signal to the worker's group must not reach the run before the reason for it.
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        gc.enable()
    return pid


def _on_child_exit(_number: int, _frame: FrameType | None) -> None:
    """Does nothing: a handler is needed for the wake-up descriptor to be written."""


def _reap_children() -> list[tuple[int, int]]:
    """The children that ended since the last call, with their return codes."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, os.waitstatus_to_exitcode(status)))


def _stop_children(connection: socket.socket, children: dict[int, str]) -> None:
    """Terminates all runs, and kills those that have not ended within 20 s."""
    for number, patience in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, _STOP_SECONDS)):
        for pid in children:
            os.kill(pid, number)  # not reaped yet, so the pid is not reused
        deadline = time.monotonic() + patience
        while children and time.monotonic() < deadline:
            for pid, code in _reap_children():
                _send(connection, {"exited": children.pop(pid), "code": code})
            time.sleep(0.02)


def _send(connection: socket.socket, message: dict[str, Any]) -> None:
    try:
        connection.sendall(json.dumps(message).encode() + b"\n")
    except OSError:
        return  # the worker has ended; the next read detects it


def _main() -> None:
    connection = socket.socket(fileno=int(sys.argv[1]))
    # Newer Pythons warn of every fork with other threads; `other_threads` checks which are harmless.
    warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
    for module in PRELOADED:
        try:
            importlib.import_module(module)
        except ImportError:
            traceback.print_exc()  # only runs that need it fail, with the reason
    from headrace.deployments.worker.warm_up import warm_up

    warm_up()
    request = serve(connection)
    if request is not None:
        run(request)


if __name__ == "__main__":
    _main()
