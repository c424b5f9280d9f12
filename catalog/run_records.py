"""What is known of a run, as plain data: for the flow that starts it and for whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

TERMINAL = frozenset({"completed", "completed_with_errors", "failed"})
"""Statuses a run does not leave by itself."""

SUCCESSFUL = frozenset({"completed", "completed_with_errors"})


@dataclass(frozen=True, slots=True)
class ConnectorRecord:
    """A connector as a run needs it. `credentials` are in the clear: never log or return them."""

    id: str
    type: str
    config: dict[str, Any]
    credentials: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class RunPipeline:
    """A pipeline as a run needs it: one pinned IR version and everything it refers to.

    `tables` are the qualified tables (`public.ds_orders`) of the tenant's schemas: the only ones a target may name.
    """

    id: str
    tenant_id: str
    name: str
    ir: dict[str, Any]
    ir_version: int
    connector: ConnectorRecord
    execution_config: dict[str, Any]
    tables: frozenset[str]


@dataclass(frozen=True, slots=True)
class PartitionCounts:
    """One partition of one stage: planned rows, and the absolute counts so far."""

    stage: int
    index: int
    planned_rows: int
    status: str
    rows_in: int
    rows_out: int
    failed: int
    skipped: int
    base_rows: int | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Uncommitted:
    """Rows of one partition of a stage behind the last that is committed, at these nodes."""

    stage: int
    partition: int
    nodes: tuple[str, ...]
    last_row: int


@dataclass(frozen=True, slots=True)
class RejectedCell:
    """One cell that was rejected; `column` is None when the whole row is at fault."""

    row: int
    column: str | None
    value: str | None
    error: str


@dataclass(frozen=True, slots=True)
class JudgedRule:
    """One dataset rule of a run: what it `wants` and what was `found`, for people."""

    node: str
    path: str
    wants: str
    found: str
    holds: bool
    on_fail: str


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a run's log."""

    stage: str
    message: str
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """Everything that is known of a run at one moment. Counts are the sums over its partitions."""

    id: str
    tenant_id: str
    pipeline_id: str
    ir_version: int
    root_run_id: str
    retry_of: str | None
    origin_run_id: str | None
    """Of a replay: the root of the runs whose failed rows it runs again."""
    parameters: dict[str, Any]
    status: str
    load_strategy: str
    total_rows: int
    rows_in: int
    rows_out: int
    failed_rows: int
    skipped_rows: int
    failure_reason: str | None
    fingerprint: dict[str, str] | None
    plan: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    measured_from: datetime | None
    finished_at: datetime | None
    touched_at: datetime
    """When the run itself last gave a sign of life."""
    observed_at: datetime
    """The database's clock when all this was read."""
    partitions: tuple[PartitionCounts, ...]
    nodes: dict[str, dict[str, int]]
    first_errors: tuple[RejectedCell, ...]
    log: tuple[LogLine, ...]
    rules: tuple[JudgedRule, ...] = ()
    """How its dataset rules were judged."""

    @property
    def aborted(self) -> bool:
        """A dataset rule held back what it had staged."""
        return any(rule.on_fail == "abort" and not rule.holds for rule in self.rules)
