"""`/audit-logs`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from headrace.api.audit import service
from headrace.api.audit.schemas import AuditLogPage, AuditVerification
from headrace.api.context import Context
from headrace.api.requests.auth import allow, guarded_router

router = guarded_router("audit")


@router.get("/audit-logs", openapi_extra=allow("admin"))
def list_audit_logs(
    context: Context,
    page: Annotated[int, Query(ge=1, le=1_000_000, description="The number of the page, from 1")] = 1,
    limit: Annotated[int, Query(ge=1, le=100, description="The most entries of a page")] = 50,
    entity_type: Annotated[
        str | None,
        Query(alias="entityType", max_length=200, description="Only writes of this kind of object, such as `pipeline`"),
    ] = None,
    entity_id: Annotated[
        str | None, Query(alias="entityId", max_length=200, description="Only writes of the object with this id")
    ] = None,
) -> AuditLogPage:
    """Every write of the tenant, newest first."""
    return service.list_entries(context, page=page, limit=limit, entity_type=entity_type, entity_id=entity_id)


@router.get("/audit-logs/verify", response_model_exclude_unset=True, openapi_extra=allow("admin"))
def verify_audit_logs(context: Context) -> AuditVerification:
    """Verifies that every entry of the tenant's log exists and is unchanged."""
    return service.verify(context)
