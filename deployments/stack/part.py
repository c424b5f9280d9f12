"""One process of the stack: started with its own log, and again when it dies; asked to end, ended if it does not."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from deployments.stack.errors import StackError
from deployments.stack.process import die_with_parent, ending, last_lines, start_log
from deployments.stack.restarts import Restarts


class Part:
    """A part of the stack with a title for people. Start it from the main thread; it dies with this process (Linux)."""

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
        """Starts its command; `arguments` are added this once."""
        start_log(self.log, f"{self.title} starts")
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603
                [*self._command, *arguments],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the supervisor, which stops the parts in order
                pass_fds=pass_fds,
                preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509
            )

    def check(self) -> None:
        """Raises StackError with the end of its log when the process is gone."""
        code = self._running.poll()
        if code is not None:
            raise StackError(f"{self.title} {ending(code)}. The end of {self.log}:\n{last_lines(self.log)}")

    def mend(self) -> str | None:
        """Starts it again when it is gone, in a while where it keeps ending; gives how it had ended when it did."""
        code = self._running.poll()
        if code is None or not self._restarts.due():
            return None
        self._end_session()
        self.start()
        often = self._restarts.in_a_row
        return ending(code) + (f" ({often} times in a row: see {self.log})" if often > 1 else "")

    def stop(self) -> bool:
        """Ends the process and whatever it started; returns False when it had to be killed."""
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
        """Its session's leftovers, and itself when it did not end."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._running.pid, signal.SIGKILL)
