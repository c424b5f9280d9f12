"""Request and response models of runs, their progress and their errors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from headrace.api.ir.schemas import LiveVersion
from headrace.api.pagination import Pagination
from headrace.api.wire import CreatedAt, PipelineId, RequestModel, ResponseModel, RunId, Timestamp
from headrace.catalog.runs.records import LogLevel, LogStage, PartitionStatus, RunStatus
from headrace.ir.dataset_rules.rules import OnDatasetFail
from headrace.ir.load_modes import LoadStrategy
from headrace.ir.problems import fault

ParameterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
ParameterText = Annotated[str, StringConstraints(max_length=1000)]
RunParameters = dict[ParameterName, ParameterText | int | float | bool]


class RunRequest(RequestModel):
    """Options of a new run: the IR version to use instead of the live one, or `replayDlqOnly` to run only the failed
    rows of the newest run that completed with errors again, with the live version and the parameters of that run, so
    that neither can be given."""

    ir_version: int | None = Field(default=None, ge=1, le=2**31 - 1)
    """A saved version of the IR; null for the live one."""
    replay_dlq_only: bool = False
    """Run only the failed rows of the newest run that completed with errors again."""
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

    id: RunId
    pipeline_id: PipelineId
    status: RunStatus
    """`completed_with_errors`: it completed, but rows failed. A cancelled run is `failed`."""
    created_at: CreatedAt


class RunItem(StartedRun):
    """A run as shown in lists."""

    completed_at: Timestamp | None
    """When it ended, in any way; null until then."""
    skip_reason: str | None = Field(
        default=None,
        exclude_if=lambda reason: reason is None,  # the documented shape has no such field
    )
    """Why the schedule's `catchup` skipped the run, whose time was missed: it is `completed` and never started. Omitted
    for other runs."""


class RunStatistics(ResponseModel):
    """Row counts and duration of a run."""

    total_rows: int
    """The rows to process, as far as the sources know in advance; at the end those that were read."""
    processed_rows: int
    """The rows that are completely done."""
    rows_in: int | None
    """Rows that were read; null before the run has started."""
    rows_out: int | None
    """Rows that were loaded; null before the run has started."""
    failed_rows: int
    """Rows that broke a rule and were not loaded."""
    skipped_rows: int
    """Rows that were left out, such as by a filter or as duplicates."""
    duration_ms: int
    """Milliseconds from the start to the end, or until now; 0 before the start."""


class NodeResult(ResponseModel):
    """The counters of one node of the IR in the run."""

    node_id: str
    """The id of the node."""
    counters: dict[str, int]
    """Numbers of rows: `rowsIn`, `rowsOut`, `failed`, `skipped`, and others that depend on the kind of node."""


class DatasetRuleResult(ResponseModel):
    """The result of one dataset rule."""

    node_id: str = Field(validation_alias="node")
    """The id of the validate node."""
    path: str
    """The place of the rule in the IR."""
    wants: str
    """What the rule demands, for people."""
    found: str
    """What was found, for people."""
    holds: bool
    """Whether the rule is met."""
    on_fail: OnDatasetFail
    """What a rule that is not met does: `abort` fails the run before any row is visible, `warn` only reports it."""


class StageResult(ResponseModel):
    """One stage of a run: nodes that rows pass in one go."""

    stage: int
    """The number of the plan's stage, from 0; negative for the publication of rows that were held back."""
    name: str
    """The nodes of the stage, for people."""
    status: PartitionStatus
    """Whether it waits, runs or has ended."""
    partitions: int
    """The number of its partitions."""
    completed_partitions: int
    """The number of its partitions that have completed."""
    rows_in: int
    """The rows that it read from a source, or that other stages sent to it."""
    rows_out: int
    """The rows that went on: into a table, held back for publication, or to other stages."""
    failed_rows: int
    """Rows that broke a rule in the stage."""
    skipped_rows: int
    """Rows that were left out in the stage."""


class RunLinks(ResponseModel):
    """Paths of related resources."""

    pipeline: str
    """The path of the pipeline."""
    progress: str
    """The path of the run's progress."""
    errors: str
    """The path of the run's errors."""


class RunDetail(RunItem):
    """One run with its statistics and per-node results."""

    started_at: Timestamp | None
    """When it began; null while it waits, and for a skipped run."""
    ir_version: LiveVersion
    load_strategy: LoadStrategy
    """How the tables are loaded: a retry of `append` and `upsert` continues after the committed rows, one of `replace`
    starts from the beginning."""
    failure_reason: str | None
    """Why it failed, for people; null if it did not."""
    retry_of: str | None
    """The id of the run that it retries; null for a run that is not a retry."""
    statistics: RunStatistics
    """The rows of the run, and its duration."""
    node_results: list[NodeResult]
    """The nodes that have processed rows, in the order of the plan."""
    stages: list[StageResult] = Field(
        default_factory=list,
        exclude_if=lambda found: not found,  # the documented shape has no such field
    )
    """The stages, in the order in which they run, of a run with more than one; omitted for others."""
    dataset_rules: list[DatasetRuleResult] = Field(
        default_factory=list,
        exclude_if=lambda found: not found,  # the documented shape has no such field
    )
    """The results of its dataset rules; omitted before they were checked, and without any."""
    links: RunLinks
    """Where to read more about the run."""


class PartitionDetail(ResponseModel):
    """One partition of a run."""

    index: int
    """The number of the partition, from 0, over all stages."""
    status: PartitionStatus
    """Whether it waits, runs or has ended."""
    rows: int
    """The rows that it has read; of a partition that gathers rows of other stages, those of its rows that are done."""
    progress: int | None = None
    """How much of its rows is done, in percent; omitted unless it runs."""


class ValidationErrorItem(ResponseModel):
    """One rejected cell, or one rejected row."""

    row: int
    """The number of the row in its source, from 1."""
    column: str | None
    """The column of the cell; null when the error concerns the whole row."""
    value: str | None
    """The value as text, masked if its column is, and cut after 1,000 characters; null for a missing value and for a
    whole row."""
    error: str
    """What is wrong, for people."""


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


class RetryMetadata(ResponseModel):
    """Where a retry resumes."""

    retry_of: str
    """The id of the run that is retried."""
    resume_from_row: int
    """The number of source rows that are already committed; 0 when all rows are read again."""
    resumable: bool
    """False when all rows are read again, because of the load strategy or because a dataset rule held them back."""


class RetriedRun(ResponseModel):
    """A retry that was requested."""

    id: RunId
    pipeline_id: PipelineId
    status: RunStatus
    """`pending`: the retry has not started."""
    load_strategy: LoadStrategy
    """How the tables are loaded."""
    metadata: RetryMetadata
    """Where the retry continues."""
    log: list[LogEntry]
    """The first lines of its log."""


class SourceLagItem(ResponseModel):
    """How far a streaming run is behind a source."""

    rows: int
    """About how many rows were waiting when it last looked."""
    seconds: float | None
    """How old what is not committed yet can be at most; null while that is not known, and after the run has ended."""


class Progress(ResponseModel):
    """How far a run is."""

    status: RunStatus
    """`completed_with_errors`: it completed, but rows failed. A cancelled run is `failed`."""
    total_rows: int
    """The rows to process, as far as the sources know in advance; of a streaming run those so far."""
    processed_rows: int
    """The rows that are completely done. While rows go on to other stages, or are held back for publication, it is the
    share of `totalRows` that is done."""
    rows_in: int | None
    """Rows that were read; null before the run has started."""
    rows_out: int | None
    """Rows that were loaded; null before the run has started."""
    failed_rows: int
    """Rows that broke a rule and were not loaded."""
    skipped_rows: int
    """Rows that were left out, such as by a filter or as duplicates."""
    partitions: int
    """The number of partitions."""
    completed_partitions: int
    """The number of partitions that have completed."""
    partition_details: list[PartitionDetail]
    """Each partition, in order."""
    validation_errors: list[ValidationErrorItem]
    """The first 20 cells of failed rows; all are at `…/errors`."""
    eta: str | None
    """The estimated time left, such as `45s`, `3m` or `1.2h`; null while it is not known, and for streaming runs."""
    duration_ms: int
    """Milliseconds from the start to the end, or until now; 0 before the start."""
    load_strategy: LoadStrategy
    """How the tables are loaded: a retry of `append` and `upsert` continues after the committed rows, one of `replace`
    starts from the beginning."""
    log: list[LogEntry]
    """The lines of the run's log, oldest first; of more than 500, the first."""
    stages: list[StageResult] | None = None
    """The stages, in the order in which they run, of a run with more than one; omitted for others."""
    lag: dict[str, SourceLagItem] | None = None
    """The lag of a streaming run, by source node; omitted for other runs."""


ErrorKind = Literal["failed", "warned"]


class ErrorSource(ResponseModel):
    """A row of a source node."""

    node: str
    """The source node."""
    file: str | None = None
    """The file, table or shard that the row is in; null for a source without such parts."""
    row: int | None = None
    """The number of the row, from 1, in `file` or in the source without one; null when several rows became one."""


class RunErrorItem(ValidationErrorItem):
    """One cell or row that broke a rule, with the rule and the source rows."""

    node: str
    """The id of the node that found it."""
    rule: str
    """A stable id of the rule, such as `type` for a value that is not of its type."""
    kind: ErrorKind
    """`failed`: the row was not loaded. `warned`: it was loaded anyway."""
    stage: int
    """The number of the plan's stage, from 0."""
    file: str | None
    """The `file` of `source`; null without one."""
    source: ErrorSource | None
    """The first of `sources`; null without any."""
    sources: list[ErrorSource]
    """The source rows that the row comes from, those of a join's left side first; empty for runs of earlier
    releases."""


class RunErrors(ResponseModel):
    """The cells of a run that broke a rule: those of failed rows, unless `kind` selects others."""

    run_id: RunId
    total: int
    """The number of selected cells on all pages."""
    errors: list[RunErrorItem]
    """The cells, in the order of rows."""
    warned: int | None = None
    """The number of cells of the run that broke a rule and whose row was loaded anyway; omitted without any."""
    pagination: Pagination | None = None
    """The position of the page; omitted unless a page was requested or there are more."""


class ErrorTotal(ResponseModel):
    """How many errors have the same node, rule, kind, column and file."""

    node: str
    """The id of the node that found them."""
    rule: str
    """A stable id of the rule, such as `type` for values that are not of their type."""
    kind: ErrorKind
    """`failed`: the rows were not loaded. `warned`: they were loaded anyway."""
    column: str | None
    """The column of the cells; null for whole rows."""
    file: str | None
    """The file, table or shard that the rows are in; null for a source without such parts."""
    error: str
    """The text of one of the errors."""
    cells: int
    """The number of cells."""
    rows: int
    """The number of rows with such cells."""


class RunErrorsSummary(ResponseModel):
    """Totals of the errors and warnings of a run."""

    run_id: RunId
    failed: int
    """The number of cells of failed rows; 0 if `kind` selects others."""
    warned: int
    """The number of cells of rows that were loaded anyway; 0 if `kind` selects others."""
    totals: list[ErrorTotal]
    """The totals, largest first; at most 1,000."""
    more: bool
    """Whether there are further totals."""
