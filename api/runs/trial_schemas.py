"""Request and response models of dry runs of retries."""

from __future__ import annotations

from pydantic import Field

from headrace.api.ir.schemas import LiveVersion, VersionNumber
from headrace.api.wire import RequestModel, ResponseModel

TRIAL_ROWS = 10_000


class RetryTrialRequest(RequestModel):
    """The version to try, and how many rows."""

    ir_version: VersionNumber | None = None
    """A saved version of the IR, which need not be published; null for the live one, which a retry uses."""
    limit: int = Field(default=TRIAL_ROWS, ge=1, le=10 * TRIAL_ROWS)
    """The most rows to try."""


class TrialGroup(ResponseModel):
    """The rows that would fail at one node, by one rule, for one column."""

    node: str
    """The id of the node."""
    rule: str
    """A stable id of the rule, such as `type` for a value that is not of its type."""
    column: str | None
    """The column; null for whole rows."""
    rows: int
    """How many rows."""
    error: str
    """What is wrong with the first of them, for people."""
    values: list[str | None]
    """Up to three different values as text; masked as everywhere."""


class RetryTrial(ResponseModel):
    """What a retry of the run's failed rows would do: `tried` = `passed` + `failed` + `skipped`."""

    ir_version: LiveVersion
    rows: int
    """How many rows would run again."""
    tried: int
    """How many of them were tried: the first `limit`."""
    passed: int
    """Rows that would be loaded, and fail nowhere."""
    failed: int
    """Rows that would fail again."""
    skipped: int
    """Rows that would be left out, such as by a filter."""
    groups: list[TrialGroup]
    """Why rows would fail: the largest 200 groups."""
    stops_run: str | None
    """Why the retry would end early; null if it would not."""
    notes: list[str]
    """Differences from a retry."""
