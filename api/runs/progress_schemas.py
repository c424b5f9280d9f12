"""Response models of how far a run is."""

from __future__ import annotations

from headrace.api.runs.error_schemas import ValidationErrorItem
from headrace.api.runs.log_schemas import LogEntry
from headrace.api.runs.schemas import StageResult
from headrace.api.wire import ResponseModel
from headrace.catalog.runs.records import PartitionStatus, RunStatus
from headrace.ir.load_modes import LoadStrategy


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
