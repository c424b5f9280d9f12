"""Runs that are unfinished in the catalog, for the follower that compares them with Prefect.

There is no tenant filter here: the follower uses ids from the catalog.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, select, text

from headrace.catalog.models import Pipeline, PipelineRun


@dataclass(frozen=True, slots=True)
class RunOwner:
    """The pipeline and tenant of a run, and its status in the catalog."""

    run_id: str
    pipeline_id: str
    pipeline_name: str
    tenant_id: str
    status: str


class UnfinishedRuns:
    """Unfinished runs. Every method is one statement."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def silent(self, seconds: float, *, after: str = "", limit: int = 200) -> list[str]:
        """Returns ids after `after`, ascending, of unfinished runs that have written nothing for `seconds`."""
        asked = {"seconds": seconds, "after": after, "limit": limit}
        with self._engine.connect() as connection:
            return list(connection.scalars(_SILENT, asked))

    def owners(self, run_ids: Sequence[str]) -> dict[str, RunOwner]:
        """Returns the owners of the runs in the catalog, by run id."""
        columns = (PipelineRun.id, Pipeline.id, Pipeline.name, Pipeline.tenant_id, PipelineRun.status)
        found = select(*columns).join(Pipeline, Pipeline.id == PipelineRun.pipeline_id)
        with self._engine.connect() as connection:
            return {row[0]: RunOwner(*row) for row in connection.execute(found.where(PipelineRun.id.in_(run_ids)))}

    def pipeline_names(self, pipeline_ids: Sequence[str]) -> dict[str, str]:
        """Returns the names of pipelines by id."""
        with self._engine.connect() as connection:
            found = connection.execute(select(Pipeline.id, Pipeline.name).where(Pipeline.id.in_(pipeline_ids)))
            return {row.id: row.name for row in found}


_SILENT = text("""
    SELECT run.id FROM headrace.pipeline_runs run
    WHERE run.status IN ('pending', 'running') AND run.id > :after
      AND greatest(run.created_at, run.started_at, run.measured_from, run.looked_at)
          < now() - make_interval(secs => :seconds)
      AND NOT EXISTS (SELECT FROM headrace.run_partitions p
                      WHERE p.run_id = run.id AND p.updated_at >= now() - make_interval(secs => :seconds))
    ORDER BY run.id LIMIT :limit
""")
