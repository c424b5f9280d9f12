"""A tenant's pipelines and the versions of their IR.

A change that affects the Prefect deployment of a pipeline adds a DeploymentChange in the same transaction, so that it
is not lost while Prefect is unavailable."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, literal, select, text, type_coerce
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import aliased

from headrace.catalog.deployment_changes import note_change
from headrace.catalog.due_runs import BEGUN, set_due
from headrace.catalog.errors import Conflict, LimitReached, StaleVersion
from headrace.catalog.models import DeploymentChange, DueRun, FoundColumns, Pipeline, PipelineIrVersion, PipelineRun
from headrace.catalog.repositories.base import TenantRepository
from headrace.catalog.runs.records import TERMINAL
from headrace.ir.document import without_editor_keys
from headrace.ir.parameters import parameters_of

BAD_ENDS = ("failed", "completed_with_errors")
"""The statuses of runs that somebody should look at, the worst first."""


@dataclass(frozen=True, slots=True)
class SavedIr:
    """The result of saving an IR: its version, and whether the version is new."""

    version: PipelineIrVersion
    new: bool


class PipelineRepository(TenantRepository[Pipeline]):
    """Pipelines with their connector and schema."""

    model = Pipeline
    noun = "pipeline"
    counted = "pipelines"

    def matching(
        self,
        *,
        status: str | None = None,
        connector_id: str | None = None,
        schema_id: str | None = None,
        q: str | None = None,
        replication_id: str | None = None,
    ) -> list[ColumnElement[bool]]:
        """Returns conditions for `page`; `q` is a part of the name, case-insensitive; an empty `replication_id` is for
        pipelines of no replication."""
        conditions: list[ColumnElement[bool]] = []
        if status is not None:
            conditions.append(Pipeline.status == status)
        if connector_id is not None:
            conditions.append(Pipeline.connector_id == connector_id)
        if schema_id is not None:
            conditions.append(Pipeline.schema_id == schema_id)
        if replication_id is not None:
            owner = Pipeline.replication_id
            conditions.append(owner == replication_id if replication_id else owner.is_(None))
        if q:
            part = re.sub(r"([\\%_])", r"\\\1", q)
            conditions.append(func.lower(Pipeline.name).like(func.lower(f"%{part}%")))
        return conditions

    def scheduled(self) -> list[ColumnElement[bool]]:
        """Returns conditions for `page`: pipelines with a schedule."""
        return [Pipeline.live_schedule.is_not(None)]

    def of_deployment(self, deployment_id: str) -> Pipeline | None:
        """Returns the pipeline with that Prefect deployment; None without one."""
        found: Pipeline | None = self.session.scalar(self.owned().where(Pipeline.deployment_id == deployment_id))
        return found

    def ended_badly(self) -> list[ColumnElement[bool]]:
        """Returns conditions: pipelines whose last run failed or completed with errors."""
        # Literals, so that the index of those is used.
        bad = [literal(status, literal_execute=True) for status in BAD_ENDS]
        return [Pipeline.last_run_status.in_(bad)]

    def worst(self, limit: int) -> Sequence[Pipeline]:
        """Returns the pipelines whose last run failed, then those whose last run completed with errors, at most
        `limit`, of each the newest run first."""
        found: list[Pipeline] = []
        for status in BAD_ENDS:
            if len(found) < limit:
                ended = Pipeline.last_run_status == literal(status, literal_execute=True)
                newest = self.owned().where(ended).order_by(Pipeline.last_run_at.desc(), Pipeline.id.desc())
                found += self.session.scalars(newest.limit(limit - len(found)))
        return found

    def drifted(self, limit: int) -> list[tuple[str, str, str]]:
        """Returns (pipeline id, name, source node) of sources that have other columns now than the last run was planned
        with, at most `limit`."""
        later = aliased(FoundColumns)
        newer = (
            select(later.node_id)
            .where(
                later.pipeline_id == FoundColumns.pipeline_id,
                later.node_id == FoundColumns.node_id,
                later.found_at > FoundColumns.found_at,
            )
            .exists()
        )
        query = (
            self.owned()
            .with_only_columns(Pipeline.id, Pipeline.name, FoundColumns.node_id)
            .join(FoundColumns, FoundColumns.pipeline_id == Pipeline.id)
            .where(FoundColumns.run_columns != FoundColumns.columns, ~newer)
            .order_by(Pipeline.name, FoundColumns.node_id)
            .limit(limit)
        )
        return [(pipeline_id, name, node) for pipeline_id, name, node in self.session.execute(query)]

    def count(self, where: Sequence[ColumnElement[bool]] = ()) -> int:
        """Counts the pipelines that match the conditions."""
        chosen = self.owned().where(*where).with_only_columns(Pipeline.id)
        return self.session.scalar(select(func.count()).select_from(chosen.subquery())) or 0

    def add(self, item: Pipeline) -> Pipeline:
        """Stores a new pipeline and queues its deployment. Raises Conflict and LimitReached."""
        super().add(item)
        self._changed(item)
        return item

    def save(self, item: Pipeline) -> Pipeline:
        """Stores the changes of a pipeline and queues its deployment. Raises Conflict if its new name is taken."""
        item.updated_at = func.now()
        self._changed(item)
        return item

    def remove(self, item: Pipeline) -> None:
        """Deletes a pipeline with its versions and runs, and queues its deployment."""
        super().remove(item)
        note_change(self.session, item.id)

    def active_runs(self, pipeline: Pipeline) -> dict[str, str]:
        """Returns the unfinished runs of a pipeline: id → status."""
        active = (PipelineRun.pipeline_id == pipeline.id, PipelineRun.status.not_in(sorted(TERMINAL)))
        found = self.session.execute(select(PipelineRun.id, PipelineRun.status).where(*active))
        return {run.id: run.status for run in found}

    def refusal(self, pipeline: Pipeline) -> str | None:
        """Returns why the deployment of the pipeline failed; None if it did not."""
        query = select(DeploymentChange.problem).where(DeploymentChange.pipeline_id == pipeline.id)
        return self.session.scalar(query)

    def due(self, pipeline_ids: Sequence[str]) -> dict[str, datetime]:
        """Returns pipeline id → when its schedule wants the next run (in the past, if that run has not begun); those
        without a schedule, and those that are paused, are left out."""
        query = (
            self.owned()
            .where(DueRun.pipeline_id == Pipeline.id, Pipeline.id.in_(pipeline_ids), Pipeline.status != "paused")
            .with_only_columns(DueRun.pipeline_id, DueRun.due_at)
        )
        return {row.pipeline_id: row.due_at for row in self.session.execute(query)}

    def late(self, before: datetime, limit: int) -> list[tuple[str, str, datetime]]:
        """Returns (pipeline id, name, when it was due) of pipelines whose run was due before `before` and has not
        begun, at most `limit`, the latest first."""
        found = self.session.execute(_LATE, {"tenant_id": self.tenant_id, "before": before, "limit": limit})
        return [(pipeline_id, name, at) for pipeline_id, name, at in found]

    def waiting_since(self, pipeline_ids: Sequence[str]) -> dict[str, datetime]:
        """Returns pipeline id → creation time of its oldest pending run; pipelines without one are left out."""
        oldest = (
            select(func.min(PipelineRun.created_at))
            .where(PipelineRun.pipeline_id == Pipeline.id, PipelineRun.status == "pending")
            .scalar_subquery()
        )
        query = self.owned().where(Pipeline.id.in_(pipeline_ids)).with_only_columns(Pipeline.id, oldest)
        return {pipeline_id: at for pipeline_id, at in self.session.execute(query) if at is not None}

    def last_starts(self, pipeline_ids: Sequence[str]) -> dict[str, datetime]:
        """Returns pipeline id → when its newest run began, else ended, else was created; pipelines that never ran are
        left out."""
        newest = (
            select(func.coalesce(PipelineRun.started_at, PipelineRun.finished_at, PipelineRun.created_at))
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
        """Stores the IR, without editor keys, as the pipeline's next version, unless it equals the newest version. With
        `publish`, makes it live.

        Locks the pipeline, so that version numbers have no gaps or duplicates. Raises StaleVersion if `expected` is not
        the newest version (0: there is none yet), and LimitReached.
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
        """Makes a version of a locked pipeline the live one."""
        if pipeline.live_version != version.version:
            self._publish(pipeline, version.version)

    def save_lowered(self, pipeline: Pipeline, ir: dict[str, Any] | None) -> None:
        """Stores the IR made from a locked pipeline's legacy nodes and edges, and makes it live; None if they cannot
        run.

        Raises Conflict for a pipeline with a saved IR that is live.
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
        """Returns the number of the newest saved version; 0 without one."""
        newest = self.session.scalar(
            select(func.max(PipelineIrVersion.version)).where(PipelineIrVersion.pipeline_id == pipeline.id)
        )
        return max(newest or 0, 0)

    def ir_version(self, pipeline: Pipeline, version: int | None = None) -> PipelineIrVersion | None:
        """Returns a version, by default the live one; None if it does not exist."""
        wanted = pipeline.live_version if version is None else version
        return None if wanted is None else self.session.get(PipelineIrVersion, (pipeline.id, wanted))

    def ir_versions(self, pipeline: Pipeline) -> Sequence[PipelineIrVersion]:
        """Returns all saved versions, newest first."""
        return self.session.scalars(
            select(PipelineIrVersion)
            .where(PipelineIrVersion.pipeline_id == pipeline.id, PipelineIrVersion.version > 0)
            .order_by(PipelineIrVersion.version.desc())
        ).all()

    def _same(self, pipeline: Pipeline, version: int, ir: dict[str, Any]) -> PipelineIrVersion | None:
        # compared in the database, because 1, 1.0 and True are equal in Python
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
        most = self.limits("ir_versions") if self.limits is not None else version
        if version > most:
            raise LimitReached("ir_versions", most, "versions of the IR")
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
            # A change of `catchup` alone does not restart the schedule: a rule with a COUNT continues.
            if _fires(schedule) != _fires(pipeline.live_schedule):
                pipeline.scheduled_since = func.now() if schedule is not None else None
                set_due(self.session, pipeline.id, pipeline.tenant_id, schedule)
            pipeline.live_schedule = schedule
            super().save(pipeline)
        parameters = (parameters_of(live.ir) if live is not None else []) or None
        if parameters != pipeline.live_parameters:
            pipeline.live_parameters = parameters
            super().save(pipeline)
        note_change(self.session, pipeline.id)


_LATE = text(f"""
    SELECT p.id, p.name, d.due_at FROM headrace.due_runs d JOIN headrace.pipelines p ON p.id = d.pipeline_id
    WHERE d.tenant_id = :tenant_id AND d.due_at < :before AND p.status <> 'paused' AND p.live_version IS NOT NULL
      AND NOT {BEGUN}
    ORDER BY d.due_at, p.id LIMIT :limit
""")  # noqa: S608


def _fires(schedule: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if schedule is None else {key: value for key, value in schedule.items() if key != "catchup"}
