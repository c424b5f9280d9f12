"""One process of the stack: started with its own log, asked to end, ended if it does not."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deployments.stack.errors import StackError
from deployments.stack.process import die_with_parent, ending, last_lines, start_log


@dataclass(frozen=True, slots=True)
class Part:
    """A running part: its title for people, its process and its log."""

    title: str
    process: subprocess.Popen[bytes]
    log: Path
    stop_seconds: float

    def check(self) -> None:
        """Raises StackError with the end of its log when the process is gone."""
        code = self.process.poll()
        if code is not None:
            raise StackError(f"{self.title} {ending(code)}. The end of {self.log}:\n{last_lines(self.log)}")

    def stop(self) -> bool:
        """Ends the process and whatever it started; returns False when it had to be killed."""
        willing = True
        self.process.terminate()
        try:
            self.process.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            willing = False
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)  # its session's leftovers, and itself when it did not end
        self.process.wait()
        return willing


def start_part(
    title: str,
    command: Sequence[str],
    *,
    log: Path,
    folder: Path,
    environment: Mapping[str, str],
    stop_seconds: float,
    pass_fds: Sequence[int] = (),
) -> Part:
    """Starts `command` in `folder`; call it from the main thread. It dies with this process (Linux)."""
    start_log(log, f"{title} starts")
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the supervisor, which stops the parts in order
            pass_fds=pass_fds,
            preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509
        )
    return Part(title, process, log, stop_seconds)
