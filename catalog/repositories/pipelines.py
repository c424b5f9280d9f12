"""A tenant's pipelines and the versions of their IR.

Whatever changes what Prefect has to know of a pipeline leaves a DeploymentChange in the same transaction, so that no
change is lost when Prefect is away.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB

from catalog.deployment_changes import note_change
from catalog.errors import Conflict, StaleVersion
from catalog.models import Pipeline, PipelineIrVersion, PipelineRun
from catalog.repositories.base import TenantRepository
from catalog.run_records import TERMINAL
from ir.document import without_editor_keys


@dataclass(frozen=True, slots=True)
class SavedIr:
    """What saving an IR gave: its version, and whether it is a new one."""

    version: PipelineIrVersion
    new: bool


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
            part = re.sub(r"([\\%_])", r"\\\1", q)
            conditions.append(func.lower(Pipeline.name).like(func.lower(f"%{part}%")))
        return conditions

    def scheduled(self) -> list[ColumnElement[bool]]:
        """Conditions for `page`: pipelines that a schedule fires."""
        return [Pipeline.live_schedule.is_not(None)]

    def count(self, where: Sequence[ColumnElement[bool]] = ()) -> int:
        """How many there are."""
        chosen = self.owned().where(*where).with_only_columns(Pipeline.id)
        return self.session.scalar(select(func.count()).select_from(chosen.subquery())) or 0

    def add(self, item: Pipeline) -> Pipeline:
        """See TenantRepository."""
        super().add(item)
        self._changed(item)
        return item

    def save(self, item: Pipeline) -> Pipeline:
        """See TenantRepository."""
        item.updated_at = func.now()
        self._changed(item)
        return item

    def remove(self, item: Pipeline) -> None:
        """Deletes it with its versions and runs."""
        super().remove(item)
        note_change(self.session, item.id)

    def active_runs(self, pipeline: Pipeline) -> Sequence[str]:
        """Ids of its runs that have not ended, as far as the catalog knows."""
        return self.session.scalars(
            select(PipelineRun.id).where(
                PipelineRun.pipeline_id == pipeline.id, PipelineRun.status.not_in(sorted(TERMINAL))
            )
        ).all()

    def last_starts(self, pipeline_ids: Sequence[str]) -> dict[str, datetime]:
        """Pipeline id → when its newest run began, or was asked for; without those that never ran."""
        newest = (
            select(func.coalesce(PipelineRun.started_at, PipelineRun.created_at))
            .where(PipelineRun.pipeline_id == Pipeline.id)
            .order_by(PipelineRun.created_at.desc(), PipelineRun.id.desc())
            .limit(1)
            .scalar_subquery()
        )
        query = self.owned().where(Pipeline.id.in_(pipeline_ids)).with_only_columns(Pipeline.id, newest)
        return {pipeline_id: at for pipeline_id, at in self.session.execute(query) if at is not None}

    def save_ir(
        self,
        pipeline: Pipeline,
        ir: dict[str, Any],
        *,
        authored_by: str,
        comment: str | None = None,
        publish: bool = True,
        expected: int | None = None,
    ) -> SavedIr:
        """Stores the IR, without what only an editor reads, as the pipeline's next version, unless it is the newest one
        already, and makes it live.

        The pipeline is locked meanwhile, so that numbers are neither skipped nor taken twice. Raises StaleVersion when
        `expected` is given and is not the newest version (0: there is none yet).
        """
        self.lock(pipeline.id)
        ir = without_editor_keys(ir)
        newest = self.newest_version(pipeline)
        if expected is not None and expected != newest:
            raise StaleVersion(newest)
        same = self._same(pipeline, newest, ir)
        saved = SavedIr(same or self._store(pipeline, newest + 1, ir, authored_by, comment), same is None)
        if publish and pipeline.live_version != saved.version.version:
            self._publish(pipeline, saved.version.version)
        return saved

    def publish(self, pipeline: Pipeline, version: PipelineIrVersion) -> None:
        """Makes a version of a locked pipeline the one that schedules and runs use."""
        if pipeline.live_version != version.version:
            self._publish(pipeline, version.version)

    def save_lowered(self, pipeline: Pipeline, ir: dict[str, Any] | None) -> None:
        """What runs of a locked legacy pipeline use from now on; None when its nodes and edges cannot run.

        Raises Conflict for a pipeline with a live IR.
        """
        if pipeline.ir_native:
            raise Conflict("The pipeline has an IR")
        if ir is None:
            if pipeline.live_version is not None:
                self._publish(pipeline, None)
            return
        lowest = self.session.scalar(
            select(func.min(PipelineIrVersion.version)).where(PipelineIrVersion.pipeline_id == pipeline.id)
        )
        last = min(lowest or 0, 0)
        same = self._same(pipeline, last, ir)
        version = same or self._store(pipeline, last - 1, ir, None, None)
        if pipeline.live_version != version.version:
            self._publish(pipeline, version.version)

    def newest_version(self, pipeline: Pipeline) -> int:
        """The number of the newest saved version; 0 when there is none."""
        newest = self.session.scalar(
            select(func.max(PipelineIrVersion.version)).where(PipelineIrVersion.pipeline_id == pipeline.id)
        )
        return max(newest or 0, 0)

    def ir_version(self, pipeline: Pipeline, version: int | None = None) -> PipelineIrVersion | None:
        """One version, the live one unless said otherwise; None when there is none."""
        wanted = pipeline.live_version if version is None else version
        return None if wanted is None else self.session.get(PipelineIrVersion, (pipeline.id, wanted))

    def ir_versions(self, pipeline: Pipeline) -> Sequence[PipelineIrVersion]:
        """All saved versions, newest first."""
        return self.session.scalars(
            select(PipelineIrVersion)
            .where(PipelineIrVersion.pipeline_id == pipeline.id, PipelineIrVersion.version > 0)
            .order_by(PipelineIrVersion.version.desc())
        ).all()

    def _same(self, pipeline: Pipeline, version: int, ir: dict[str, Any]) -> PipelineIrVersion | None:
        # asked of the database, because to Python 1, 1.0 and True are one and the same
        return self.session.scalar(
            select(PipelineIrVersion).where(
                PipelineIrVersion.pipeline_id == pipeline.id,
                PipelineIrVersion.version == version,
                PipelineIrVersion.ir == type_coerce(ir, JSONB),
            )
        )

    def _store(
        self, pipeline: Pipeline, version: int, ir: dict[str, Any], authored_by: str | None, comment: str | None
    ) -> PipelineIrVersion:
        stored = PipelineIrVersion(
            pipeline_id=pipeline.id, version=version, ir=ir, authored_by=authored_by, comment=comment
        )
        self.session.add(stored)
        self.session.flush()
        return stored

    def _publish(self, pipeline: Pipeline, version: int | None) -> None:
        pipeline.live_version = version
        self.save(pipeline)

    def _changed(self, pipeline: Pipeline) -> None:
        super().save(pipeline)
        live = self.ir_version(pipeline)
        schedule = live.ir.get("schedule") if live is not None else None
        if schedule is None and pipeline.schedule is not None:
            schedule = {"kind": "cron", "expression": pipeline.schedule, "timezone": "UTC"}
        if schedule != pipeline.live_schedule:
            pipeline.live_schedule = schedule
            pipeline.scheduled_since = func.now() if schedule is not None else None
            super().save(pipeline)
        note_change(self.session, pipeline.id)
