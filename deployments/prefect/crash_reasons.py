"""The failure reason of a run whose process ended without reporting: the signal and its most likely cause."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.deployments.stack.process import exit_text
from headrace.flows.runtime.memory.current_node import read_board

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, State

_KILLED = "the machine or its container most likely ran out of memory"
_ABORTED = "it most likely asked for more memory than it may have (HEADRACE_RUN_MEMORY_LIMIT)"
_LIKELY_CAUSES = {signal.SIGKILL: _KILLED, signal.SIGABRT: _ABORTED}
_SHELL_OFFSET = 128
"""A shell reports a signal as this number plus the signal's."""
_EXITED = re.compile(r"Process exited with status code: (-?\d{1,4})\b")


def explain_exit(message: str, node: str = "") -> str:
    """Prefect's message about an ended process, with the likely cause and the node; other messages unchanged."""
    if (found := _EXITED.match(message)) is None:
        return message
    code = int(found[1])
    if code - _SHELL_OFFSET in _LIKELY_CAUSES:
        code = _SHELL_OFFSET - code
    if code >= 0:
        return message
    where = f" at the node '{node}'" if node else ""
    likely = f": {_LIKELY_CAUSES[signal.Signals(-code)]}" if -code in _LIKELY_CAUSES else ""
    return f"The run's process {exit_text(code)}{where}{likely}. Committed rows stay, and a retry continues after them"


class CrashExplainer:
    """Wraps Prefect's state proposer: adds the likely cause to the message of a crash. `board` is the file in which the
    run noted what it worked on."""

    def __init__(self, proposer: Any, board: Path) -> None:
        self._proposer, self._board = proposer, board

    def __getattr__(self, name: str) -> Any:
        return getattr(self._proposer, name)

    async def propose_crashed(self, flow_run: FlowRun, message: str) -> State[Any] | None:
        """Proposes the state Crashed, with the explained message."""
        node = read_board(self._board.read_bytes()) if self._board.exists() else ""
        state: State[Any] | None = await self._proposer.propose_crashed(flow_run, message=explain_exit(message, node))
        return state
