"""Pipelines and the versions of their IR."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from catalog.models.base import Base, Created, TenantOwned, newest_first
from catalog.models.connectors import Connector
from catalog.models.schemas import DataSchema


class Pipeline(TenantOwned):
    """One pipeline. `live_version` is the IR version runs use; None for a legacy pipeline (nodes and edges only).

    `deployment_id` and `deployment_fingerprint` say which Prefect deployment was last registered, and from what.
    """

    __tablename__ = "pipelines"

    name: Mapped[str]
    description: Mapped[str | None]
    status: Mapped[str]
    schedule: Mapped[str | None]
    connector_id: Mapped[str] = mapped_column(ForeignKey(Connector.id))
    schema_id: Mapped[str] = mapped_column(ForeignKey(DataSchema.id))
    execution_config: Mapped[dict[str, Any]] = mapped_column(JSONB)
    nodes: Mapped[list[Any]] = mapped_column(JSONB)
    edges: Mapped[list[Any]] = mapped_column(JSONB)
    live_version: Mapped[int | None]
    deployment_id: Mapped[str | None]
    deployment_fingerprint: Mapped[str | None]
    last_run_at: Mapped[datetime | None]
    last_run_status: Mapped[str | None]
    updated_at: Mapped[Created]

    connector: Mapped[Connector] = relationship(lazy="joined", innerjoin=True, viewonly=True)
    data_schema: Mapped[DataSchema] = relationship(lazy="joined", innerjoin=True, viewonly=True)

    __table_args__ = (
        UniqueConstraint("tenant_id", "name", name="pipelines_name"),
        newest_first("pipelines_newest", "tenant_id"),
        Index("pipelines_connector", "connector_id"),
        Index("pipelines_schema", "schema_id"),
    )


class PipelineIrVersion(Base):
    """One saved IR; versions count from 1 per pipeline and never change."""

    __tablename__ = "pipeline_ir_versions"

    pipeline_id: Mapped[str] = mapped_column(ForeignKey(Pipeline.id, ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    ir: Mapped[dict[str, Any]] = mapped_column(JSONB)
    authored_by: Mapped[str | None]
    comment: Mapped[str | None]
    created_at: Mapped[Created]
