"""A stack in the background: `headrace up --detach` and `headrace down`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from headrace.deployments.errors import HeadraceError
from headrace.deployments.stack.database.server import EmbeddedPostgres
from headrace.deployments.stack.environment import base_environment
from headrace.deployments.stack.layout import Layout
from headrace.deployments.stack.options import StackOptions
from headrace.deployments.stack.process import exit_text, last_lines, start_log
from headrace.deployments.stack.state import AlreadyRunning, StackLock, StackState, holder
from headrace.deployments.stack.supervisor import Report, run_stack

_STOP_SECONDS = 120.0


def start_detached(options: StackOptions, report: Report) -> StackState:
    """Starts a stack in the background and returns once it is ready. Raises StackError, AlreadyRunning.

    An interrupt (Ctrl-C) while it waits stops the stack.
    """
    layout = Layout.of(options.data_dir)
    layout.create()
    pid = holder(layout.lock)
    if pid is not None:
        raise AlreadyRunning(layout.root, pid)
    log = layout.log("supervisor")
    start_log(log, "the supervisor starts")
    read_end, write_end = os.pipe()
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-m", "headrace.deployments.stack.detached", str(write_end)],
            cwd=layout.root,
            env=base_environment(),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[write_end],
        )
    os.close(write_end)
    assert process.stdin is not None
    with process.stdin as stdin:
        stdin.write(options.to_json().encode())  # not as an argument: a database URL may contain a password
    try:
        with os.fdopen(read_end, encoding="utf-8") as events:
            for line in events:
                event = json.loads(line)
                if event["kind"] == "progress":
                    report(event["text"])
                elif event["kind"] == "failed":
                    process.wait()
                    raise HeadraceError(event["text"], event["hint"])
                else:
                    state = StackState.read(layout.state)
                    if state is not None:
                        return state
    except BaseException:
        process.terminate()
        process.wait()
        raise
    code = process.wait()
    raise HeadraceError(f"The supervisor {exit_text(code)}. The end of {log}:\n{last_lines(log)}")


def stop_detached(layout: Layout) -> bool:
    """Stops the stack on `layout` and waits for its end; False when none was running.

    Also stops a PostgreSQL left by a killed stack. Raises StackError when it does not end within 120 s.
    """
    if not layout.root.is_dir():
        return False
    pid = holder(layout.lock)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while holder(layout.lock) == pid:
            if time.monotonic() > deadline:
                raise HeadraceError(f"The stack (process {pid}) did not stop within {_STOP_SECONDS:.0f} s.")
            time.sleep(0.05)
        return True
    with StackLock(layout.lock):
        layout.state.unlink(missing_ok=True)
        left_over = EmbeddedPostgres(layout.postgres, layout.log("postgresql"))
        found = left_over.pid is not None
        left_over.stop()
    return found


def _main(descriptor: int, options: StackOptions) -> int:
    """Runs the supervisor in the background: reports progress to its starter over a pipe, and to the log."""
    events: list[Any] = [os.fdopen(descriptor, "w", encoding="utf-8", buffering=1)]

    def send(kind: str, text: str = "", hint: str = "") -> None:
        sys.stdout.write(f"{text or kind} {hint}".rstrip() + "\n")
        sys.stdout.flush()
        if events:
            try:
                events[0].write(json.dumps({"kind": kind, "text": text, "hint": hint}) + "\n")
            except OSError:  # the starter has ended
                events.clear()

    def ready(_state: StackState) -> None:
        send("ready")
        for pipe in events:
            pipe.close()
        events.clear()

    progress: Callable[[str], None] = lambda text: send("progress", text)  # noqa: E731
    try:
        run_stack(options, progress, ready)
    except HeadraceError as error:
        send("failed", error.message, error.hint)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(int(sys.argv[1]), StackOptions.from_json(sys.stdin.read())))
