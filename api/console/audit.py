"""`/audit`: every write of the tenant, and whether the log is intact."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request, Response

from headrace.api.audit import service
from headrace.api.console.guard import pages, plain, seen_by
from headrace.api.console.rendering import fragment, render
from headrace.api.context import Context

router = pages()

PAGE = 50
KINDS = ("pipeline", "connector", "schema", "run", "api_key", "replication")
"""What the filter offers; any other kind can be in the URL."""

_Text = Annotated[str, Query(max_length=200)]


@router.get("/audit", name="console_audit", openapi_extra=seen_by("admin"))
def show_audit(
    request: Request,
    context: Context,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    kind: _Text = "",
    entity: _Text = "",
) -> Response:
    """A page of the log, newest first."""
    found = service.list_entries(
        context, page=page, limit=PAGE, entity_type=kind or None, entity_id=entity.strip() or None
    )
    kinds = KINDS if kind in ("", *KINDS) else (*KINDS, kind)
    shown: dict[str, Any] = {
        "found": found,
        "kind": kind,
        "entity": entity,
        "kinds": kinds,
        "last": -(-found.total // PAGE) or 1,
    }
    return render(request, "audit.html", title="Audit", **shown)


@router.get("/audit/verification", name="console_verify_audit", openapi_extra=seen_by("admin"))
def verify(context: Context) -> Response:
    """Whether every entry is there and unchanged."""
    return plain(fragment("audit_verified.html", result=service.verify(context)))
