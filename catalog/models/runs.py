"""Runs: counts of rows by partition and node, and errors by row."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from headrace.catalog.models.base import Base, Big, Created, TenantOwned, newest_first
from headrace.catalog.models.pipelines import Pipeline
from headrace.catalog.runs.records import LogLevel, LogStage, PartitionStatus, RunStatus
from headrace.ir.load_modes import LoadStrategy


class PipelineRun(TenantOwned):
    """A run of a pipeline. `attempt` counts the starts of its flow; the four row totals are set at the end."""

    __tablename__ = "pipeline_runs"

    pipeline_id: Mapped[str] = mapped_column(ForeignKey(Pipeline.id, ondelete="CASCADE"))
    ir_version: Mapped[int]
    root_run_id: Mapped[str]
    retry_of: Mapped[str | None]
    origin_run_id: Mapped[str | None]
    """For a replay: the root of the runs whose failed rows it runs again."""
    parameters: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    status: Mapped[RunStatus] = mapped_column(Text)
    load_strategy: Mapped[LoadStrategy] = mapped_column(Text)
    attempt: Mapped[int] = mapped_column(server_default="0")
    total_rows: Mapped[Big] = mapped_column(server_default="0")
    fingerprint: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    plan: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    rows_in: Mapped[int | None] = mapped_column(BigInteger)
    rows_out: Mapped[int | None] = mapped_column(BigInteger)
    failed_rows: Mapped[int | None] = mapped_column(BigInteger)
    skipped_rows: Mapped[int | None] = mapped_column(BigInteger)
    failure_reason: Mapped[str | None]
    skip_reason: Mapped[str | None]
    """Why a scheduled run was skipped by the schedule's `catchup`: it is `completed` and never began."""
    rules: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB(none_as_null=True))
    """The results of its dataset rules (catalog.run_records.EvaluatedRule); None before they are checked."""
    lags: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """Of a streaming run: how far it is behind each source node (catalog.runs.records.SourceLag); empty before it has
    looked. None for any other run."""
    looked_at: Mapped[datetime | None]
    """When a streaming run last said that it looks at its sources."""
    started_at: Mapped[datetime | None]
    measured_from: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        newest_first("pipeline_runs_newest", "pipeline_id"),
        Index("pipeline_runs_root", "root_run_id"),
        Index("pipeline_runs_retry", "retry_of", postgresql_where=text("retry_of IS NOT NULL")),
        Index("pipeline_runs_streams", "pipeline_id", "created_at", postgresql_where=text("lags IS NOT NULL")),
        Index(
            "pipeline_runs_unfinished",
            "status",
            "created_at",
            postgresql_where=text("status IN ('pending', 'running')"),
        ),
    )


class RunPartition(Base):
    """Absolute counts of one partition of one stage. `base_rows` were committed before the current attempt."""

    __tablename__ = "run_partitions"

    run_id: Mapped[str] = mapped_column(ForeignKey(PipelineRun.id, ondelete="CASCADE"), primary_key=True)
    stage: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    planned_rows: Mapped[Big]
    status: Mapped[PartitionStatus] = mapped_column(Text)
    rows_in: Mapped[Big] = mapped_column(server_default="0")
    rows_out: Mapped[Big] = mapped_column(server_default="0")
    failed: Mapped[Big] = mapped_column(server_default="0")
    skipped: Mapped[Big] = mapped_column(server_default="0")
    base_rows: Mapped[int | None] = mapped_column(BigInteger)
    updated_at: Mapped[Created]
    began_at: Mapped[datetime | None]
    """When it last began to run; set by a trigger."""
    gathered_rows: Mapped[int | None] = mapped_column(BigInteger)
    """The rows that are done, of a stage that gathers rows of other stages (catalog.runs.records.Gathered)."""


class RunNode(Base):
    """Absolute counters of one node in one partition; the run chooses their names."""

    __tablename__ = "run_nodes"

    run_id: Mapped[str] = mapped_column(ForeignKey(PipelineRun.id, ondelete="CASCADE"), primary_key=True)
    stage: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    partition: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    node_id: Mapped[str] = mapped_column(primary_key=True)
    counters: Mapped[dict[str, int]] = mapped_column(JSONB)


HAS_SOURCE = (
    "sources->0->>'file' IS NOT NULL",
    "jsonb_array_length(sources) > 1",
    "jsonb_array_length(sources) > 2",
)
"""Conditions of the indexes of errors by the file of their first, second and third source: rows of joins have several.
Those of more sources than that are in an index of their own."""
HAS_MORE_SOURCES = "jsonb_array_length(sources) > 3"


def _by_file(name: str, file: str, has: str) -> Index:
    key = text(f'headrace.error_key(root_run_id, node_id, rule, "column", warning, {file})')
    return Index(f"run_errors_{name}", key, "row", postgresql_where=text(has))


class RunError(Base):
    """A rejected cell. The key prevents duplicates from a replayed batch. In its order the cells of a node, rule and
    column are together, by row: lists are merged from these groups (`catalog.repositories.error_pages`)."""

    __tablename__ = "run_errors"

    root_run_id: Mapped[str] = mapped_column(primary_key=True)
    node_id: Mapped[str] = mapped_column(primary_key=True)
    rule: Mapped[str] = mapped_column(primary_key=True)
    column: Mapped[str] = mapped_column(primary_key=True)
    """Empty for an error of the whole row."""
    warning: Mapped[bool] = mapped_column(primary_key=True, server_default="false")
    """Whether the row was loaded anyway."""
    row: Mapped[Big] = mapped_column(primary_key=True, autoincrement=False)
    partition: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    stage: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Part of the key, because rows are numbered again after a shuffle stage, and a node may be on both sides of
    it."""
    run_id: Mapped[str]
    """Deleted with the run by a trigger: a foreign key would be checked for each error."""
    value: Mapped[str | None]
    error: Mapped[str]
    sources: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default="[]")
    """The source rows that it comes from, `[{"node", "file", "row"}, …]`. `row` is counted in the file if there is one,
    and left out if many rows became one. Empty for rows of earlier releases."""

    __table_args__ = (
        *(
            _by_file(f"file_{place + 1}", f"(sources -> {place}) ->> 'file'", has)
            for place, has in enumerate(HAS_SOURCE)
        ),
        _by_file("more_files", "''", HAS_MORE_SOURCES),
    )


class RunErrorCount(Base):
    """How many errors have the same run, group, stage and partition; kept by triggers of the errors. A partition counts
    its own, so that those of a run do not wait for each other."""

    __tablename__ = "run_error_counts"

    root_run_id: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(primary_key=True)
    node_id: Mapped[str] = mapped_column(primary_key=True)
    rule: Mapped[str] = mapped_column(primary_key=True)
    column: Mapped[str] = mapped_column(primary_key=True)
    warning: Mapped[bool] = mapped_column(primary_key=True)
    stage: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    partition: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    cells: Mapped[Big]


class RunLog(Base):
    """One line of a run's log."""

    __tablename__ = "run_log"

    id: Mapped[Big] = mapped_column(Identity(always=True), primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey(PipelineRun.id, ondelete="CASCADE"))
    stage: Mapped[LogStage] = mapped_column(Text)
    message: Mapped[str]
    level: Mapped[LogLevel] = mapped_column(Text, server_default="info")
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    __table_args__ = (Index("run_log_run", "run_id", "id"),)


class RunRequest(Base):
    """The run that an `Idempotency-Key` of a pipeline started."""

    __tablename__ = "run_requests"

    pipeline_id: Mapped[str] = mapped_column(ForeignKey(Pipeline.id, ondelete="CASCADE"), primary_key=True)
    idempotency_key: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str]
    created_at: Mapped[Created]
