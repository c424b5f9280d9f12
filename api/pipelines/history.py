"""A pipeline with its newest runs, its schedule and the parameters of its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from headrace.api.context import RequestContext
from headrace.api.pipelines.schemas import PipelineDetail
from headrace.api.pipelines.service import get_pipeline, owned_pipeline
from headrace.api.scheduler.schemas import ScheduledPipeline
from headrace.api.scheduler.service import statuses
from headrace.catalog.repositories.runs import RunSummary
from headrace.catalog.runs.records import SUCCESSFUL
from headrace.ir.parameters import parameters_of


@dataclass(frozen=True, slots=True)
class PipelineHistory:
    """A pipeline. `runs` are newest first; `document` is the live version's, empty for one that cannot run yet."""

    detail: PipelineDetail
    live_version: int | None
    newest_version: int
    document: Mapping[str, Any]
    runs: Sequence[RunSummary]
    schedule: ScheduledPipeline | None

    @property
    def parameters(self) -> list[dict[str, Any]]:
        """The parameters of a run, as `parameters_of`."""
        return parameters_of(self.document)

    @property
    def last_load(self) -> RunSummary | None:
        """The newest of the runs that loaded rows."""
        return next((run for run in self.runs if run.status in SUCCESSFUL and run.rows_out), None)


def history(context: RequestContext, pipeline_id: str, *, runs: int) -> PipelineHistory:
    """The pipeline with at most `runs` of its newest runs. Raises ApiError 404."""
    detail = get_pipeline(context, pipeline_id)
    with context.reading() as catalog:
        pipeline = owned_pipeline(catalog, pipeline_id)
        live = catalog.pipelines.ir_version(pipeline)
        newest = catalog.runs.recent([pipeline_id], runs) if runs else {}
        return PipelineHistory(
            detail=detail,
            live_version=pipeline.live_version,
            newest_version=catalog.pipelines.newest_version(pipeline),
            document=live.ir if live is not None else {},
            runs=newest.get(pipeline_id, []),
            schedule=statuses(catalog, [pipeline], datetime.now(UTC)).get(pipeline_id),
        )
