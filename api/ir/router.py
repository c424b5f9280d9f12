"""`/pipelines/{id}/ir` and `/ir/validate`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body, Query, Response

from headrace.api.confirmation import Confirmed
from headrace.api.context import Context
from headrace.api.ir import lineage, service
from headrace.api.ir.lineage_schemas import IrLineage
from headrace.api.ir.schemas import (
    IrCheck,
    IrDifference,
    IrVersion,
    IrVersionItem,
    Publish,
    SaveIr,
    Validation,
)
from headrace.api.parameters import IfMatch, NewerVersion, NewestVersion, OlderVersion, PipelineIdPath, Publishing
from headrace.api.requests.auth import READ, WRITE, allow, guarded_router
from headrace.api.requests.if_match import expected_version

router = guarded_router("pipeline IR")


@router.get("/pipelines/{pipeline_id}/ir", openapi_extra=allow(*READ))
def get_ir(
    context: Context,
    pipeline_id: PipelineIdPath,
    response: Response,
    version: NewestVersion = None,
    live: Annotated[bool, Query(description="The version that schedules and runs use, instead of the newest")] = False,
) -> IrVersion:
    """A version of the pipeline's IR: the newest by default, the given `version`, or with `live` the live one."""
    found = service.get_ir(context, pipeline_id, version, live=live)
    response.headers["ETag"] = f'"{found.version}"'
    return found


@router.post(
    "/pipelines/{pipeline_id}/ir",
    status_code=201,
    responses={200: {"model": IrVersion, "description": "Unchanged: the newest version already is this IR"}},
    openapi_extra=allow(*WRITE),
)
def save_ir(
    context: Context,
    pipeline_id: PipelineIdPath,
    body: SaveIr,
    response: Response,
    publish: Publishing = True,
    if_match: IfMatch = None,
    confirm: Confirmed = False,
) -> IrVersion:
    """Saves the IR as the next version and makes it live; an unchanged IR returns the existing version, with 200. A
    change of load mode that could lose or duplicate rows needs `confirm=true`, and so does a column that none of the
    sources had when last inspected, if they had one with a similar name."""
    expected = expected_version(if_match)
    saved, new = service.save_ir(context, pipeline_id, body, publish=publish, expected=expected, confirm=confirm)
    response.status_code = 201 if new else 200
    response.headers["ETag"] = f'"{saved.version}"'
    return saved


@router.post("/pipelines/{pipeline_id}/ir/check", openapi_extra=allow(*READ))
def check_ir(context: Context, pipeline_id: PipelineIdPath, body: SaveIr) -> IrCheck:
    """Why saving the IR would be refused, and what it would require to confirm; nothing is saved. For sources without
    declared fields, the columns that were last found are used."""
    return service.check(context, pipeline_id, body)


@router.get("/pipelines/{pipeline_id}/ir/versions", openapi_extra=allow(*READ))
def list_ir_versions(context: Context, pipeline_id: PipelineIdPath) -> list[IrVersionItem]:
    """The versions of the pipeline's IR, newest first."""
    return service.list_versions(context, pipeline_id)


@router.get("/pipelines/{pipeline_id}/ir/diff", openapi_extra=allow(*READ))
def compare_ir(
    context: Context,
    pipeline_id: PipelineIdPath,
    before: OlderVersion,
    after: NewerVersion,
) -> IrDifference:
    """The changes from one version to another: an RFC 6902 patch, and a summary per node."""
    return service.compare(context, pipeline_id, before, after)


@router.get("/pipelines/{pipeline_id}/ir/lineage", responses={422: {}}, openapi_extra=allow(*READ))
def get_ir_lineage(context: Context, pipeline_id: PipelineIdPath, version: NewestVersion = None) -> IrLineage:
    """The source columns of each target column and the steps between, for the newest version by default. No data is
    read: `unknown` lists the nodes whose columns are not known before a run."""
    return lineage.get_lineage(context, pipeline_id, version)


@router.post("/pipelines/{pipeline_id}/ir/publish", openapi_extra=allow(*WRITE))
def publish_ir(context: Context, pipeline_id: PipelineIdPath, body: Publish, confirm: Confirmed = False) -> IrVersion:
    """Makes a version live: schedules and runs use it from then on. Publish an older one to roll back. A change of load
    mode that could lose or duplicate rows needs `confirm=true`."""
    return service.publish(context, pipeline_id, body.version, confirm=confirm)


@router.post("/ir/validate", openapi_extra=allow(*READ))
def validate_ir(
    context: Context,
    body: Annotated[Any, Body(description="Any IR")] = None,
    pipeline_id: Annotated[
        str | None, Query(alias="pipelineId", max_length=200, description="Check it as a version of this pipeline")
    ] = None,
) -> Validation:
    """Validates an IR without running it; nothing is saved. With `pipelineId`, sources without `fields` have the
    columns that were last found in them."""
    return service.validate(context, body, pipeline_id)
