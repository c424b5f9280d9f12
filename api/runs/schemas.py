"""Request and response models of runs, their progress and their errors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from headrace.api.pagination import Pagination
from headrace.api.wire import RequestModel, ResponseModel, Timestamp
from headrace.ir.problems import fault

ParameterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
ParameterText = Annotated[str, StringConstraints(max_length=1000)]
RunParameters = dict[ParameterName, ParameterText | int | float | bool]


class RunRequest(RequestModel):
    """Options of a new run: the IR version to use instead of the live one, or `replayDlqOnly` to run only the failed
    rows of the newest run that completed with errors again, with the live version and the parameters of that run, so
    that neither can be given."""

    ir_version: int | None = Field(default=None, ge=1, le=2**31 - 1)
    replay_dlq_only: bool = False
    parameters: RunParameters = Field(default_factory=dict, max_length=50)
    """Values for `{{name}}` in the configs of the pipeline's sources."""

    @model_validator(mode="after")
    def _replays_as_it_was(self) -> RunRequest:
        if self.replay_dlq_only and (self.ir_version is not None or self.parameters):
            message = "'replayDlqOnly' takes neither 'irVersion' nor 'parameters'"
            raise fault("no_meaning", message, "a replay has the live version and the parameters of the run it repeats")
        return self


class StartedRun(ResponseModel):
    """A run that was requested."""

    id: str
    pipeline_id: str
    status: str
    created_at: Timestamp


class RunItem(StartedRun):
    """A run as shown in lists. `skipReason` is present on a scheduled run whose time was missed and that the schedule's
    `catchup` skipped: it is `completed` and never started."""

    completed_at: Timestamp | None
    skip_reason: str | None = Field(
        default=None,
        exclude_if=lambda reason: reason is None,  # the documented shape has no such field
    )


class RunStatistics(ResponseModel):
    """Row counts and duration of a run."""

    total_rows: int
    processed_rows: int
    rows_in: int | None
    rows_out: int | None
    failed_rows: int
    skipped_rows: int
    duration_ms: int


class NodeResult(ResponseModel):
    """The counters of one node of the IR in the run."""

    node_id: str
    counters: dict[str, int]


class DatasetRuleResult(ResponseModel):
    """The result of one dataset rule: `path` is its place in the IR; `wants` and `found` are human-readable."""

    node_id: str = Field(validation_alias="node")
    path: str
    wants: str
    found: str
    holds: bool
    on_fail: Literal["abort", "warn"]


class RunLinks(ResponseModel):
    """Paths of related resources."""

    pipeline: str
    progress: str
    errors: str


class RunDetail(RunItem):
    """One run with its statistics and per-node results."""

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


class PartitionDetail(ResponseModel):
    """One partition; `progress` (percent) is present only while it runs."""

    index: int
    status: str
    rows: int
    progress: int | None = None


class ValidationErrorItem(ResponseModel):
    """One rejected cell; `column` is null when the error concerns the whole row."""

    row: int
    column: str | None
    value: str | None
    error: str


class LogEntry(ResponseModel):
    """One line of a run's log."""

    stage: str
    message: str
    timestamp: Timestamp


class RetryMetadata(ResponseModel):
    """Where a retry resumes. `resumeFromRow`: the number of source rows that are already committed. `resumable`: false
    when it reads all rows again, because of its load strategy or because a dataset rule held them back."""

    retry_of: str
    resume_from_row: int
    resumable: bool


class RetriedRun(ResponseModel):
    """A retry that was requested."""

    id: str
    pipeline_id: str
    status: str
    load_strategy: str
    metadata: RetryMetadata
    log: list[LogEntry]


class SourceLagItem(ResponseModel):
    """How far a streaming run is behind a source. `rows`: about how many were waiting when it last looked. `seconds`:
    how old what is not committed yet can be at most; null while that is not known, and after the run has ended."""

    rows: int
    seconds: float | None


class Progress(ResponseModel):
    """Progress of a run. `rowsIn` counts rows that were read, `processedRows` those that are completely done: while
    rows go on to other stages, or are held back for publication, it is the share of `totalRows` that is done. `lag` is
    there for streaming runs only, by source node; their `totalRows` are those so far, and `eta` is null."""

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
    lag: dict[str, SourceLagItem] | None = None


ErrorKind = Literal["failed", "warned"]


class ErrorSource(ResponseModel):
    """A row of a source node: `row` counts from 1 in `file`, or in the source if it has no files. It is null when
    several rows were combined into one."""

    node: str
    file: str | None = None
    row: int | None = None


class RunErrorItem(ValidationErrorItem):
    """One cell that broke a rule. `node` is the node, `rule` a stable id of the rule, `stage` the number of the plan's
    stage. `kind`: the row failed, or passed with a warning. `sources` are the source rows it comes from, those of a
    join's left side first; `source` is the first, and `file` its file. They are empty for runs of earlier releases."""

    node: str
    rule: str
    kind: ErrorKind
    stage: int
    file: str | None
    source: ErrorSource | None
    sources: list[ErrorSource]


class RunErrors(ResponseModel):
    """The cells of a run that broke a rule: failed ones, unless `kind` selects others. `total` counts the selected
    ones, `warned` the run's warnings, if any. `pagination` is present when it was requested or there are more."""

    run_id: str
    total: int
    errors: list[RunErrorItem]
    warned: int | None = None
    pagination: Pagination | None = None


class ErrorTotal(ResponseModel):
    """Errors with the same node, rule, kind, column and file: the number of cells and rows. `error` is the text of one
    of them."""

    node: str
    rule: str
    kind: ErrorKind
    column: str | None
    file: str | None
    error: str
    cells: int
    rows: int


class RunErrorsSummary(ResponseModel):
    """Totals of the errors and warnings of a run, largest first; `more` when there are further totals."""

    run_id: str
    failed: int
    warned: int
    totals: list[ErrorTotal]
    more: bool
