"""Response models of the log of a run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from headrace.api.wire import ResponseModel, RunId, Timestamp
from headrace.catalog.runs.records import LogLevel, LogStage


class LogEntry(ResponseModel):
    """One line of a run's log."""

    stage: LogStage | Literal["queue"]
    """The part of the run that it is about; `queue`: why it has not started."""
    message: str
    """A line for people."""
    timestamp: Timestamp
    """When it was written."""
    level: LogLevel = Field(default="info", exclude_if=lambda level: level == "info")
    """`warning`: somebody should look at it; `error`: why the run failed. Omitted for others."""


class RunLogPage(ResponseModel):
    """Lines of the log of a run."""

    run_id: RunId
    lines: list[LogEntry]
    """The lines that match, oldest first."""
    last: int
    """The position of the last of them: as `after` it requests those that follow, also those that are yet to come."""
    more: bool
    """Whether there are further lines now."""
    ended: bool
    """Whether the run has ended, so that no further lines come."""
    waiting: LogEntry | None
    """Why the run has not started, if it waits for other runs of the tenant; null otherwise."""
