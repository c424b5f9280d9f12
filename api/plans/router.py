"""`/pipelines/{id}/plan`, `/preview` and `/sql-preview`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from headrace.api.context import Context
from headrace.api.ir.schemas import VersionNumber
from headrace.api.parameters import PipelineIdPath
from headrace.api.plans import service
from headrace.api.plans.schemas import Plan, PlanRequest, Preview, PreviewRequest, SqlPreview
from headrace.api.requests.auth import READ, WRITE, allow, guarded_router

router = guarded_router("plans")


@router.post("/pipelines/{pipeline_id}/plan", response_model=Plan, responses={422: {}}, openapi_extra=allow(*READ))
async def plan_pipeline(
    context: Context, request: Request, pipeline_id: PipelineIdPath, body: PlanRequest | None = None
) -> Response:
    """The plan of a run: stages, partitions, rows, SQL, and changes to the database. Nothing is executed."""
    return await service.plan(context, request, pipeline_id, body or PlanRequest())


@router.post("/pipelines/{pipeline_id}/preview", response_model=Preview, openapi_extra=allow(*WRITE))
async def preview_pipeline(
    context: Context, request: Request, pipeline_id: PipelineIdPath, body: PreviewRequest | None = None
) -> Response:
    """Output rows and errors of each node for the first records of the sources. Nothing is written."""
    return await service.preview_rows(context, request, pipeline_id, body or PreviewRequest())


@router.get(
    "/pipelines/{pipeline_id}/sql-preview", response_model=SqlPreview, responses={422: {}}, openapi_extra=allow(*READ)
)
async def preview_sql(
    context: Context,
    request: Request,
    pipeline_id: PipelineIdPath,
    ir_version: Annotated[
        VersionNumber | None, Query(alias="irVersion", description="A saved version; by default the live one")
    ] = None,
) -> Response:
    """The SQL that would load each target."""
    return await service.sql_preview(context, request, pipeline_id, ir_version)
