"""Pipelines, the versions of their IR, and the queue of changes of their Prefect deployments."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ForeignKey, Index, Text, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from headrace.catalog.models.base import Base, Created, TenantOwned, newest_first
from headrace.catalog.models.connectors import Connector
from headrace.catalog.models.replications import Replication
from headrace.catalog.models.schemas import DataSchema
from headrace.catalog.runs.records import RunStatus

PipelineStatus = Literal["draft", "active", "paused"]
"""`draft` until its first successful run, then `active`; the schedule of a `paused` one does not fire."""


class Pipeline(TenantOwned):
    """A pipeline. `live_version` is the IR version of its runs; None for legacy nodes and edges that cannot run yet.

    `live_schedule` is the live IR's schedule, else the cron of `schedule`; `scheduled_since` is when it was set.
    `live_parameters` are the run parameters of the live IR (`ir.parameters.parameters_of`), None without any.
    `deployment_id` is the Prefect deployment registered last. `replication_id` is the replication that made it.
    """

    __tablename__ = "pipelines"

    name: Mapped[str]
    description: Mapped[str | None]
    status: Mapped[PipelineStatus] = mapped_column(Text)
    schedule: Mapped[str | None]
    connector_id: Mapped[str] = mapped_column(ForeignKey(Connector.id))
    schema_id: Mapped[str] = mapped_column(ForeignKey(DataSchema.id))
    execution_config: Mapped[dict[str, Any]] = mapped_column(JSONB)
    nodes: Mapped[list[Any]] = mapped_column(JSONB)
    edges: Mapped[list[Any]] = mapped_column(JSONB)
    live_version: Mapped[int | None]
    live_schedule: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    scheduled_since: Mapped[datetime | None]
    live_parameters: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB(none_as_null=True))
    deployment_id: Mapped[str | None]
    replication_id: Mapped[str | None] = mapped_column(ForeignKey(Replication.id))
    last_run_at: Mapped[datetime | None]
    last_run_status: Mapped[RunStatus | None] = mapped_column(Text)
    updated_at: Mapped[Created]

    connector: Mapped[Connector] = relationship(lazy="joined", innerjoin=True, viewonly=True)
    data_schema: Mapped[DataSchema] = relationship(lazy="joined", innerjoin=True, viewonly=True)

    __table_args__ = (
        UniqueConstraint("tenant_id", "name", name="pipelines_name"),
        newest_first("pipelines_newest", "tenant_id"),
        newest_first("pipelines_connector", "connector_id"),
        newest_first("pipelines_schema", "schema_id"),
        Index("pipelines_status", "tenant_id", "status", text("created_at DESC"), text("id DESC")),
        Index(
            "pipelines_replication",
            "replication_id",
            text("created_at DESC"),
            text("id DESC"),
            postgresql_where=text("replication_id IS NOT NULL"),
        ),
        Index(
            "pipelines_scheduled",
            "tenant_id",
            text("created_at DESC"),
            text("id DESC"),
            postgresql_where=text("live_schedule IS NOT NULL"),
        ),
        Index(
            "pipelines_attention",
            "tenant_id",
            text("last_run_at DESC"),
            text("id DESC"),
            postgresql_where=text("last_run_status IN ('failed', 'completed_with_errors')"),
        ),
        # exists only if the database has pg_trgm
        Index(
            "pipelines_name_part",
            func.lower(text("name")).label("part"),
            postgresql_using="gin",
            postgresql_ops={"part": "gin_trgm_ops"},
        ),
    )

    @property
    def ir_native(self) -> bool:
        """Whether runs use a saved IR; otherwise they use one lowered from legacy nodes and edges, if any."""
        return self.live_version is not None and self.live_version > 0


class PipelineIrVersion(Base):
    """A version of an IR; versions never change.

    Saved versions count up from 1. Versions made from legacy nodes and edges count down from -1: only runs use them.
    """

    __tablename__ = "pipeline_ir_versions"

    pipeline_id: Mapped[str] = mapped_column(ForeignKey(Pipeline.id, ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    ir: Mapped[dict[str, Any]] = mapped_column(JSONB)
    authored_by: Mapped[str | None]
    comment: Mapped[str | None]
    created_at: Mapped[Created]


class DueRun(Base):
    """When the schedule of a pipeline wants its next run: the first fire time after its last run began. In the past for
    a run that is late (`catalog.due_runs`)."""

    __tablename__ = "due_runs"

    pipeline_id: Mapped[str] = mapped_column(ForeignKey(Pipeline.id, ondelete="CASCADE"), primary_key=True)
    tenant_id: Mapped[str]
    due_at: Mapped[datetime]

    __table_args__ = (Index("due_runs_of_tenant", "tenant_id", "due_at"), Index("due_runs_next", "due_at"))


class DeploymentChange(Base):
    """A pending change of a pipeline's Prefect deployment; it outlives the pipeline.

    Written in the transaction of the change, deleted once Prefect is updated. `change` identifies the change; `problem`
    is why the last of `attempts` failed.
    """

    __tablename__ = "deployment_changes"

    pipeline_id: Mapped[str] = mapped_column(primary_key=True)
    change: Mapped[str]
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    attempts: Mapped[int] = mapped_column(server_default="0")
    problem: Mapped[str | None]

    __table_args__ = (Index("deployment_changes_due", "due_at"),)
