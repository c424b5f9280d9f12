"""`/pipelines/{id}/sources` and `/pipelines/{id}/cursors`."""

from __future__ import annotations

from headrace.api.context import Context
from headrace.api.parameters import PipelineIdPath
from headrace.api.requests.auth import READ, WRITE, allow, guarded_router
from headrace.api.sources import cursors, service
from headrace.api.sources.schemas import ChangeCursors, PipelineCursors, PipelineSources

router = guarded_router("sources")


@router.get("/pipelines/{pipeline_id}/sources", openapi_extra=allow(*READ))
def get_sources(context: Context, pipeline_id: PipelineIdPath) -> PipelineSources:
    """The sources of the live IR: the columns that runs, plans and discovery last found, and how they differ from those
    of the last run. Does not connect to the sources."""
    return service.get_sources(context, pipeline_id)


@router.get("/pipelines/{pipeline_id}/cursors", openapi_extra=allow(*READ))
def get_cursors(context: Context, pipeline_id: PipelineIdPath) -> PipelineCursors:
    """How far the pipeline has read its incremental sources, for each target."""
    return cursors.get_cursors(context, pipeline_id)


@router.post("/pipelines/{pipeline_id}/cursors", openapi_extra=allow(*WRITE))
def change_cursors(context: Context, pipeline_id: PipelineIdPath, body: ChangeCursors) -> PipelineCursors:
    """Sets the cursor of a source, or resets cursors, so that the next run reads everything. Refused with 409 while a
    run has not ended."""
    return cursors.change_cursors(context, pipeline_id, body)
