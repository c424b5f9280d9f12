"""Writes that leave nothing in the catalog, not even an entry of their own: the audit log gets one afterwards."""

from __future__ import annotations

from fastapi import Request
from sqlalchemy.orm import Session

from api.context import services_of
from catalog.keys import Principal
from catalog.repositories import TenantCatalog


def record_action(request: Request, principal: Principal, action: str) -> None:
    """Notes that `action` (the name of a route) was done, and to what: the innermost object in the path."""
    named = [(name.removesuffix("_id"), value) for name, value in request.path_params.items()]
    entity_type, entity_id = named[-1] if named else ("tenant", principal.tenant_id)
    with Session(services_of(request).engine) as session, session.begin():
        TenantCatalog(session, principal.tenant_id).audit.append(action, entity_type, entity_id)
