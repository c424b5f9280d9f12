"""One process of the stack, with its own log: started, restarted when it dies, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from headrace.deployments.errors import HeadraceError
from headrace.deployments.stack.process import Restarts, die_with_parent, exit_text, last_lines, start_log


class Component:
    """A component of the stack; `title` is shown to users. Start it from the main thread: it dies with this process
    (Linux)."""

    def __init__(
        self,
        title: str,
        command: Sequence[str],
        *,
        log: Path,
        folder: Path,
        environment: Mapping[str, str],
        stop_seconds: float,
    ) -> None:
        self.title, self.log, self.stop_seconds = title, log, stop_seconds
        self._command, self._folder, self._environment = list(command), folder, dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._restarts = Restarts()

    def start(self, *arguments: str, pass_fds: Sequence[int] = ()) -> None:
        """Starts the command; `arguments` are added to this start only."""
        start_log(self.log, f"{self.title} starts")
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603
                [*self._command, *arguments],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the supervisor, which stops the components in order
                pass_fds=pass_fds,
                preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509
            )

    def check(self) -> None:
        """Raises StackError with the end of the log when the process has ended."""
        code = self._running.poll()
        if code is not None:
            raise HeadraceError(f"{self.title} {exit_text(code)}. The end of {self.log}:\n{last_lines(self.log)}")

    def repair(self) -> str | None:
        """Restarts the process if it has ended, with growing pauses; returns how it ended, or None if not restarted."""
        code = self._running.poll()
        if code is None or not self._restarts.due():
            return None
        self._end_session()
        self.start()
        often = self._restarts.in_a_row
        return exit_text(code) + (f" ({often} times in a row: see {self.log})" if often > 1 else "")

    def stop(self) -> bool:
        """Ends the process and its children; returns False when it had to be killed."""
        willing = True
        self._running.terminate()
        try:
            self._running.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            willing = False
        self._end_session()
        self._running.wait()
        return willing

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "started before"
        return self._process

    def _end_session(self) -> None:
        """Kills the rest of the session."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._running.pid, signal.SIGKILL)
