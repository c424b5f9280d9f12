"""Request and response models of runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from headrace.api.ir.schemas import LiveVersion
from headrace.api.runs.log_schemas import LogEntry
from headrace.api.wire import CreatedAt, PipelineId, RequestModel, ResponseModel, RunId, Timestamp
from headrace.catalog.runs.records import PartitionStatus, RunStatus
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
