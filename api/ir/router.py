"""`/pipelines/{id}/ir` and `/ir/validate`."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import Body, Header, Query, Response

from api.auth import READ, WRITE, allow, guarded_router
from api.context import Context
from api.errors import invalid
from api.ir import lineage, service
from api.ir.lineage_schemas import IrLineage
from api.ir.schemas import IrDifference, IrVersion, IrVersionItem, Publish, SaveIr, Validation, VersionNumber
from api.schemas.confirmation import Confirmed

router = guarded_router("pipeline IR")

_IF_MATCH = re.compile(r'(?:W/)?"(\d{1,9})"|(\d{1,9})')


@router.get("/pipelines/{pipeline_id}/ir", openapi_extra=allow(*READ))
def get_ir(
    context: Context,
    pipeline_id: str,
    response: Response,
    version: Annotated[VersionNumber | None, Query()] = None,
    live: Annotated[bool, Query(description="The version that schedules and runs use, not the newest")] = False,
) -> IrVersion:
    """A version of the pipeline's IR, the newest unless one is named or the live one is asked for."""
    found = service.get_ir(context, pipeline_id, version, live=live)
    response.headers["ETag"] = f'"{found.version}"'
    return found


@router.post(
    "/pipelines/{pipeline_id}/ir",
    status_code=201,
    responses={200: {"model": IrVersion, "description": "Unchanged: the newest version is this IR already"}},
    openapi_extra=allow(*WRITE),
)
def save_ir(
    context: Context,
    pipeline_id: str,
    body: SaveIr,
    response: Response,
    publish: Annotated[bool, Query(description="Make the version live")] = True,
    if_match: Annotated[str | None, Header(description="The version the change was made on; 409 if it is old")] = None,
    confirm: Confirmed = False,
) -> IrVersion:
    """Saves the IR as the next version and makes it live; the same IR again is the same version, with 200. A change of
    load mode that could lose or double rows needs `confirm=true`."""
    expected = _expected(if_match)
    saved, new = service.save_ir(context, pipeline_id, body, publish=publish, expected=expected, confirm=confirm)
    response.status_code = 201 if new else 200
    response.headers["ETag"] = f'"{saved.version}"'
    return saved


@router.get("/pipelines/{pipeline_id}/ir/versions", openapi_extra=allow(*READ))
def list_ir_versions(context: Context, pipeline_id: str) -> list[IrVersionItem]:
    """The versions of the pipeline's IR, newest first."""
    return service.list_versions(context, pipeline_id)


@router.get("/pipelines/{pipeline_id}/ir/diff", openapi_extra=allow(*READ))
def compare_ir(
    context: Context,
    pipeline_id: str,
    before: Annotated[VersionNumber, Query(alias="from")],
    after: Annotated[VersionNumber, Query(alias="to")],
) -> IrDifference:
    """What changed from one version to another: an RFC 6902 patch, and the same in words per node."""
    return service.compare(context, pipeline_id, before, after)


@router.get("/pipelines/{pipeline_id}/ir/lineage", responses={422: {}}, openapi_extra=allow(*READ))
def get_ir_lineage(
    context: Context, pipeline_id: str, version: Annotated[VersionNumber | None, Query()] = None
) -> IrLineage:
    """From which columns of its sources each column of its targets is made, and by what; of the newest version unless
    one is named. No data are looked at: `unknown` says of which nodes nothing can be told before a run."""
    return lineage.get_lineage(context, pipeline_id, version)


@router.post("/pipelines/{pipeline_id}/ir/publish", openapi_extra=allow(*WRITE))
def publish_ir(context: Context, pipeline_id: str, body: Publish, confirm: Confirmed = False) -> IrVersion:
    """Makes a version the one that schedules and runs use; an older one rolls back. A change of load mode that could
    lose or double rows needs `confirm=true`."""
    return service.publish(context, pipeline_id, body.version, confirm=confirm)


@router.post("/ir/validate", openapi_extra=allow(*READ))
def validate_ir(context: Context, body: Annotated[Any, Body(description="Any IR")] = None) -> Validation:
    """Everything that can be said of an IR before it runs; nothing is saved."""
    return service.validate(context, body)


def _expected(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    match = _IF_MATCH.fullmatch(if_match.strip())
    if match is None:
        hint = 'the version as GET gives it, for example "3"'
        raise invalid("If-Match", "bad_version", "If-Match does not name a version", hint)
    return int(match[1] or match[2])
