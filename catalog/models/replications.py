"""Replications, the tables they copy, and their runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ForeignKey, Index, Text, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from headrace.catalog.models.base import Base, Created, TenantOwned, newest_first
from headrace.catalog.models.connectors import Connector
from headrace.catalog.replications.records import Phase, TableChange, TableStatus
from headrace.catalog.runs.records import RunStatus

ReplicationStatus = Literal["active", "paused"]
"""The schedule of a `paused` one does not fire."""


class Replication(TenantOwned):
    """A replication. `version` counts its documents; `settled` is a digest of the sources whose tables a run has taken
    up: others are new from then on. `deployment_id` is the Prefect deployment registered last."""

    __tablename__ = "replications"

    name: Mapped[str]
    status: Mapped[ReplicationStatus] = mapped_column(Text)
    document: Mapped[dict[str, Any]] = mapped_column(JSONB)
    version: Mapped[int]
    connector_id: Mapped[str] = mapped_column(ForeignKey(Connector.id))
    settled: Mapped[str | None]
    schedule: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    scheduled_since: Mapped[datetime | None]
    deployment_id: Mapped[str | None]
    last_run_at: Mapped[datetime | None]
    last_run_status: Mapped[RunStatus | None] = mapped_column(Text)
    updated_at: Mapped[Created]

    connector: Mapped[Connector] = relationship(lazy="joined", innerjoin=True, viewonly=True)

    __table_args__ = (
        UniqueConstraint("tenant_id", "name", name="replications_name"),
        newest_first("replications_newest", "tenant_id"),
        Index("replications_connector", "connector_id"),
    )


class ReplicationTable(Base):
    """A table of the source and its pipeline. `columns` are the last known columns, `names` maps columns of the source
    to columns of the table; `there` is false for one that no longer exists or is excluded. One that could not be copied
    yet has no pipeline."""

    __tablename__ = "replication_tables"

    replication_id: Mapped[str] = mapped_column(ForeignKey(Replication.id, ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    pipeline_id: Mapped[str | None] = mapped_column(ForeignKey("headrace.pipelines.id", ondelete="CASCADE"))
    columns: Mapped[list[Any]] = mapped_column(JSONB)
    names: Mapped[dict[str, str]] = mapped_column(JSONB)
    there: Mapped[bool] = mapped_column(server_default="true")
    since: Mapped[Created]

    __table_args__ = (Index("replication_tables_pipeline", "pipeline_id", unique=True),)


class ReplicationRun(TenantOwned):
    """A run of a replication. Its `phase` goes from `discovering` over `found` (its pipelines are being made) to
    `loading` and `ended`. `only_tables` are those that a retry copies, `found` what the source had (FoundTable)."""

    __tablename__ = "replication_runs"

    replication_id: Mapped[str] = mapped_column(ForeignKey(Replication.id, ondelete="CASCADE"))
    version: Mapped[int]
    retry_of: Mapped[str | None]
    only_tables: Mapped[list[str] | None] = mapped_column(JSONB(none_as_null=True))
    status: Mapped[RunStatus] = mapped_column(Text)
    phase: Mapped[Phase] = mapped_column(Text)
    found: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    failure_reason: Mapped[str | None]
    cancel_asked: Mapped[bool] = mapped_column(server_default="false")
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    touched_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        newest_first("replication_runs_newest", "replication_id"),
        Index(
            "replication_runs_unfinished",
            "phase",
            "touched_at",
            postgresql_where=text("status IN ('pending', 'running')"),
        ),
    )


class ReplicationRunTable(Base):
    """One table in a run. `child_run_id` is the run of its pipeline, `retry_of` the run that this one continues."""

    __tablename__ = "replication_run_tables"

    run_id: Mapped[str] = mapped_column(ForeignKey(ReplicationRun.id, ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    change: Mapped[TableChange] = mapped_column(Text)
    pipeline_id: Mapped[str | None] = mapped_column(ForeignKey("headrace.pipelines.id", ondelete="SET NULL"))
    ir_version: Mapped[int | None]
    retry_of: Mapped[str | None]
    status: Mapped[TableStatus] = mapped_column(Text)
    child_run_id: Mapped[str | None]
    message: Mapped[str | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (Index("replication_run_tables_pipeline", "pipeline_id"),)


class ReplicationRequest(Base):
    """The run that an `Idempotency-Key` of a replication started."""

    __tablename__ = "replication_requests"

    replication_id: Mapped[str] = mapped_column(ForeignKey(Replication.id, ondelete="CASCADE"), primary_key=True)
    idempotency_key: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str]
    created_at: Mapped[Created]
