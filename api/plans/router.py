"""`/pipelines/{id}/plan`, `/preview` and `/sql-preview`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from api.auth import READ, WRITE, allow, guarded_router
from api.context import Context
from api.ir.schemas import VersionNumber
from api.plans import service
from api.plans.schemas import Plan, PlanRequest, Preview, PreviewRequest, SqlPreview

router = guarded_router("plans")


@router.post("/pipelines/{pipeline_id}/plan", responses={422: {}}, openapi_extra=allow(*READ))
def plan_pipeline(context: Context, pipeline_id: str, body: PlanRequest | None = None) -> Plan:
    """What a run would do: stages, partitions, rows, SQL, and what it would change in the database. Nothing runs."""
    return service.plan(context, pipeline_id, body or PlanRequest())


@router.post("/pipelines/{pipeline_id}/preview", openapi_extra=allow(*WRITE))
def preview_pipeline(context: Context, pipeline_id: str, body: PreviewRequest | None = None) -> Preview:
    """Rows and errors behind each node, on the first records of the sources. Nothing is written."""
    return service.preview_rows(context, pipeline_id, body or PreviewRequest())


@router.get("/pipelines/{pipeline_id}/sql-preview", responses={422: {}}, openapi_extra=allow(*READ))
def preview_sql(
    context: Context, pipeline_id: str, ir_version: Annotated[VersionNumber | None, Query(alias="irVersion")] = None
) -> SqlPreview:
    """How each target would be loaded."""
    return service.sql_preview(context, pipeline_id, ir_version)
