"""A tenant's pipelines and the versions of their IR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, select

from catalog.models import Pipeline, PipelineIrVersion
from catalog.repositories.base import TenantRepository


class PipelineRepository(TenantRepository[Pipeline]):
    """Pipelines with their connector and schema."""

    model = Pipeline
    noun = "pipeline"

    def matching(
        self,
        *,
        status: str | None = None,
        connector_id: str | None = None,
        schema_id: str | None = None,
        q: str | None = None,
    ) -> list[ColumnElement[bool]]:
        """Conditions for `page`; `q` is a part of the name, whatever its case."""
        conditions: list[ColumnElement[bool]] = []
        if status is not None:
            conditions.append(Pipeline.status == status)
        if connector_id is not None:
            conditions.append(Pipeline.connector_id == connector_id)
        if schema_id is not None:
            conditions.append(Pipeline.schema_id == schema_id)
        if q:
            conditions.append(Pipeline.name.icontains(q, autoescape=True))
        return conditions

    def save_ir(self, pipeline: Pipeline, ir: dict[str, Any], *, authored_by: str, comment: str | None = None) -> int:
        """Stores the IR as the pipeline's next version and makes it live; returns its number.

        The pipeline's row is locked meanwhile, so that numbers are neither skipped nor taken twice.
        """
        self.session.execute(select(Pipeline.id).where(Pipeline.id == pipeline.id).with_for_update())
        newest = self.session.scalar(
            select(PipelineIrVersion.version)
            .where(PipelineIrVersion.pipeline_id == pipeline.id)
            .order_by(PipelineIrVersion.version.desc())
            .limit(1)
        )
        version = (newest or 0) + 1
        self.session.add(
            PipelineIrVersion(pipeline_id=pipeline.id, version=version, ir=ir, authored_by=authored_by, comment=comment)
        )
        pipeline.live_version = version
        self.session.flush()
        return version

    def ir_version(self, pipeline: Pipeline, version: int | None = None) -> PipelineIrVersion | None:
        """One version, the live one unless said otherwise; None when there is none."""
        wanted = pipeline.live_version if version is None else version
        return None if wanted is None else self.session.get(PipelineIrVersion, (pipeline.id, wanted))

    def ir_versions(self, pipeline: Pipeline) -> Sequence[PipelineIrVersion]:
        """All versions, newest first."""
        return self.session.scalars(
            select(PipelineIrVersion)
            .where(PipelineIrVersion.pipeline_id == pipeline.id)
            .order_by(PipelineIrVersion.version.desc())
        ).all()
