"""`/pipelines`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from headrace.api.context import Context
from headrace.api.pagination import Paged, PageOf
from headrace.api.parameters import CancelRuns, NamePart, PipelineIdPath, PipelineIdQuery
from headrace.api.pipelines import removal, service
from headrace.api.pipelines.schemas import CreatePipeline, PipelineDetail, PipelineItem, UpdatePipeline
from headrace.api.requests.auth import READ, WRITE, allow, guarded_router

router = guarded_router("pipelines")


@router.get("/pipelines", openapi_extra=allow(*READ))
def list_pipelines(
    context: Context,
    page: Paged,
    status: Annotated[
        str | None, Query(max_length=200, description="Only those with this status: `draft`, `active` or `paused`")
    ] = None,
    connector_id: Annotated[
        str | None, Query(alias="connectorId", max_length=200, description="Only those of this connector")
    ] = None,
    schema_id: Annotated[
        str | None, Query(alias="schemaId", max_length=200, description="Only those that load this schema")
    ] = None,
    q: NamePart = None,
    replication_id: Annotated[
        str | None,
        Query(alias="replicationId", max_length=200, description="Only those of this replication; empty: of none"),
    ] = None,
) -> PageOf[PipelineItem]:
    """The tenant's pipelines, newest first; `q` matches a part of the name."""
    return service.list_pipelines(
        context,
        page,
        status=status,
        connector_id=connector_id,
        schema_id=schema_id,
        q=q,
        replication_id=replication_id,
    )


@router.post("/pipelines", status_code=201, openapi_extra=allow(*WRITE))
def create_pipeline(context: Context, body: CreatePipeline) -> PipelineDetail:
    """Creates a pipeline, IR-native or legacy."""
    return service.create_pipeline(context, body)


@router.put("/pipelines", openapi_extra=allow(*WRITE))
def update_pipeline(context: Context, body: UpdatePipeline) -> PipelineDetail:
    """Updates a pipeline. Omitted fields are unchanged; `nodes` replaces all nodes and edges."""
    return service.update_pipeline(context, body)


@router.delete("/pipelines", status_code=204, openapi_extra=allow(*WRITE))
def delete_pipeline(
    context: Context,
    pipeline_id: PipelineIdQuery,
    force: CancelRuns = False,
) -> None:
    """Deletes a pipeline with its versions, runs, schedule and replication slots; the rows it loaded stay."""
    removal.delete_pipeline(context, pipeline_id, force=force)


@router.get("/pipelines/{pipeline_id}", openapi_extra=allow(*READ))
def get_pipeline(context: Context, pipeline_id: PipelineIdPath) -> PipelineDetail:
    """One pipeline."""
    return service.get_pipeline(context, pipeline_id)
