"""Runs that have not ended as far as the catalog knows, for whoever asks Prefect what became of them.

There is no tenant filter here: like a running flow, the follower works by ids that the catalog itself wrote down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, select, text

from catalog.models import Pipeline, PipelineRun


@dataclass(frozen=True, slots=True)
class RunOwner:
    """Whose run it is; `status` as the catalog has it."""

    run_id: str
    pipeline_id: str
    pipeline_name: str
    tenant_id: str
    status: str


class UnfinishedRuns:
    """What the catalog thinks is going on. Every method is a statement of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def silent(self, seconds: float, *, after: str = "", limit: int = 200) -> list[str]:
        """Ids, ascending behind `after`, of unfinished runs without a sign of life for so long."""
        asked = {"seconds": seconds, "after": after, "limit": limit}
        with self._engine.connect() as connection:
            return list(connection.scalars(_SILENT, asked))

    def owners(self, run_ids: Sequence[str]) -> dict[str, RunOwner]:
        """Those of them that the catalog knows, by id."""
        columns = (PipelineRun.id, Pipeline.id, Pipeline.name, Pipeline.tenant_id, PipelineRun.status)
        found = select(*columns).join(Pipeline, Pipeline.id == PipelineRun.pipeline_id)
        with self._engine.connect() as connection:
            return {row[0]: RunOwner(*row) for row in connection.execute(found.where(PipelineRun.id.in_(run_ids)))}

    def pipeline_names(self, pipeline_ids: Sequence[str]) -> dict[str, str]:
        """Names by id."""
        with self._engine.connect() as connection:
            found = connection.execute(select(Pipeline.id, Pipeline.name).where(Pipeline.id.in_(pipeline_ids)))
            return {row.id: row.name for row in found}


_SILENT = text("""
    SELECT run.id FROM headrace.pipeline_runs run
    WHERE run.status IN ('pending', 'running') AND run.id > :after
      AND greatest(run.created_at, run.started_at, run.measured_from) < now() - make_interval(secs => :seconds)
      AND NOT EXISTS (SELECT FROM headrace.run_partitions p
                      WHERE p.run_id = run.id AND p.updated_at >= now() - make_interval(secs => :seconds))
    ORDER BY run.id LIMIT :limit
""")
