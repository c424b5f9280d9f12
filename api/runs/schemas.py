"""The shapes of runs, their progress and their errors on the wire."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from api.pagination import Pagination
from api.wire import Body, Shown, Timestamp

ParameterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
ParameterText = Annotated[str, StringConstraints(max_length=1000)]


class RunRequest(Body):
    """What may be said when a run is asked for: the IR version to use instead of the live one, or that only the failed
    rows of the newest run that completed with errors are to be run again (through the live version)."""

    ir_version: int | None = Field(default=None, ge=1, le=2**31 - 1)
    replay_dlq_only: bool = False
    parameters: dict[ParameterName, ParameterText | int | float | bool] = Field(default_factory=dict, max_length=50)
    """Values for `{{name}}` in the configs of the pipeline's sources."""


class StartedRun(Shown):
    """A run that was asked for."""

    id: str
    pipeline_id: str
    status: str
    created_at: Timestamp


class RunItem(StartedRun):
    """A run as the list shows it."""

    completed_at: Timestamp | None


class RunStatistics(Shown):
    """What a run read, loaded, rejected and skipped."""

    total_rows: int
    processed_rows: int
    rows_in: int | None
    rows_out: int | None
    failed_rows: int
    skipped_rows: int
    duration_ms: int


class NodeResult(Shown):
    """What one node of the IR did; the counters are the run's."""

    node_id: str
    counters: dict[str, int]


class DatasetRuleResult(Shown):
    """How one dataset rule was judged: `path` is its place in the IR, `wants` and `found` are for people."""

    node_id: str = Field(validation_alias="node")
    path: str
    wants: str
    found: str
    holds: bool
    on_fail: Literal["abort", "warn"]


class RunLinks(Shown):
    """Where more is to be had."""

    pipeline: str
    progress: str
    errors: str


class RunDetail(RunItem):
    """One run with everything that was counted."""

    started_at: Timestamp | None
    ir_version: int | None
    load_strategy: str
    failure_reason: str | None
    retry_of: str | None
    statistics: RunStatistics
    node_results: list[NodeResult]
    dataset_rules: list[DatasetRuleResult] = Field(
        default_factory=list,
        exclude_if=lambda found: not found,  # the documented shape has no such field
    )
    links: RunLinks


class PartitionDetail(Shown):
    """One partition; `progress` (percent) is there only while it runs."""

    index: int
    status: str
    rows: int
    progress: int | None = None


class ValidationErrorItem(Shown):
    """One rejected cell; `column` is null when the whole row is at fault."""

    row: int
    column: str | None
    value: str | None
    error: str


class LogEntry(Shown):
    """One line of a run's log."""

    stage: str
    message: str
    timestamp: Timestamp


class RetryMetadata(Shown):
    """What a retry goes on from. `resumeFromRow`: the source rows that were dealt with for good. `resumable`: false
    where it reads all rows again, by its load strategy or because a dataset rule held them back."""

    retry_of: str
    resume_from_row: int
    resumable: bool


class RetriedRun(Shown):
    """A retry that was asked for."""

    id: str
    pipeline_id: str
    status: str
    load_strategy: str
    metadata: RetryMetadata
    log: list[LogEntry]


class Progress(Shown):
    """Where a run stands."""

    status: str
    total_rows: int
    processed_rows: int
    rows_in: int | None
    rows_out: int | None
    failed_rows: int
    skipped_rows: int
    partitions: int
    completed_partitions: int
    partition_details: list[PartitionDetail]
    validation_errors: list[ValidationErrorItem]
    eta: str | None
    duration_ms: int
    load_strategy: str
    log: list[LogEntry]


class RunErrors(Shown):
    """A run's rejected cells; `pagination` is there when it was asked for or there are more."""

    run_id: str
    total: int
    errors: list[ValidationErrorItem]
    pagination: Pagination | None = None
