"""A run of a replication as plain data: for the flow that runs it and for observers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from headrace.catalog.runs.records import SUCCESSFUL, ConnectorRecord, RunStatus

Phase = Literal["discovering", "found", "loading", "ended"]

TableChange = Literal["new", "known", "changed", "gone", "left_out", "ignored"]
"""`new` and `changed` since the last run; `gone`: no longer in the source; `left_out`: excluded by `sources`;
`ignored`: new, and ignored by `newTables`."""

TableStatus = Literal[
    "waiting", "running", "completed", "completed_with_errors", "failed", "refused", "skipped", "cancelled", "not_run"
]
"""`refused`: it cannot be copied; `skipped`: another table had failed; `not_run`: it is not to be copied."""

UNSUCCESSFUL = ("waiting", "running", "failed", "refused", "skipped", "cancelled")
"""The statuses of tables that a retry copies."""


@dataclass(frozen=True, slots=True)
class ReplicationRecord:
    """A replication as a run needs it."""

    id: str
    tenant_id: str
    name: str
    version: int
    document: dict[str, Any]
    connector: ConnectorRecord


@dataclass(frozen=True, slots=True)
class RunTable:
    """One table in a run, with the counts of rows of its pipeline's run so far; `total_rows` is what that has planned,
    0 where it is not known. `deployment_id` is that of the pipeline in Prefect."""

    name: str
    change: TableChange
    pipeline_id: str | None
    ir_version: int | None
    retry_of: str | None
    status: TableStatus
    child_run_id: str | None
    message: str | None
    started_at: datetime | None
    finished_at: datetime | None
    deployment_id: str | None
    total_rows: int
    rows_in: int
    rows_out: int
    failed_rows: int
    skipped_rows: int

    @property
    def ended(self) -> bool:
        """Whether nothing happens to it any more in this run."""
        return self.status not in ("waiting", "running")

    @property
    def percent(self) -> float:
        """How much of it is done, from 0 to 100."""
        if self.status in SUCCESSFUL:
            return 100.0
        return round(100 * min(1.0, self.rows_in / self.total_rows), 1) if self.total_rows else 0.0


@dataclass(frozen=True, slots=True)
class ReplicationRunSnapshot:
    """A run of a replication at one moment, with its tables by name."""

    id: str
    tenant_id: str
    replication_id: str
    version: int
    retry_of: str | None
    only_tables: tuple[str, ...] | None
    status: RunStatus
    phase: Phase
    failure_reason: str | None
    cancel_asked: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    touched_at: datetime
    observed_at: datetime
    tables: tuple[RunTable, ...]

    @property
    def copied(self) -> tuple[RunTable, ...]:
        """The tables that the run is to copy."""
        return tuple(each for each in self.tables if each.status != "not_run")

    def counts(self) -> Counter[TableStatus]:
        """How many tables there are of each status."""
        return Counter(each.status for each in self.tables)

    @property
    def percent(self) -> float:
        """How much is done, from 0 to 100: the mean of its tables, of which those that have ended are done."""
        tables = self.copied
        if not tables:
            return 100.0 if self.phase == "ended" else 0.0
        return round(sum(100.0 if each.ended else each.percent for each in tables) / len(tables), 1)
