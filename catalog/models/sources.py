"""What was last found in the sources of pipelines."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from headrace.catalog.models.base import Base, Created
from headrace.catalog.models.pipelines import Pipeline


class FoundColumns(Base):
    """The columns of a source node with one config (`catalog.found_columns.source_key`): those found last, by a run's
    id, `plan`, `preview` or `discover`, and those that the last run was planned with."""

    __tablename__ = "found_columns"

    pipeline_id: Mapped[str] = mapped_column(ForeignKey(Pipeline.id, ondelete="CASCADE"), primary_key=True)
    node_id: Mapped[str] = mapped_column(primary_key=True)
    source_key: Mapped[str] = mapped_column(primary_key=True)
    columns: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    found_at: Mapped[Created]
    found_by: Mapped[str]
    run_columns: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB(none_as_null=True))
    run_id: Mapped[str | None]
    run_at: Mapped[datetime | None]

    __table_args__ = (Index("found_columns_changed", "pipeline_id", postgresql_where=text("run_columns <> columns")),)
