"""The first tenant and the first key of a fresh catalog, for whoever starts a stack."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from catalog.keys import Role
from catalog.models import Tenant
from catalog.repositories import TenantCatalog


def ensure_tenant(engine: Engine, tenant_id: str, name: str | None = None) -> None:
    """Creates the tenant unless it is there."""
    with engine.begin() as connection:
        connection.execute(insert(Tenant).values(id=tenant_id, name=name or tenant_id).on_conflict_do_nothing())


def issue_key(
    engine: Engine,
    *,
    tenant_id: str,
    name: str,
    role: Role,
    pepper: str,
    expires_at: datetime | None = None,
    replace: bool = True,
) -> str:
    """Stores a new key of an existing tenant and returns its plaintext, the only time anybody sees it.

    With `replace`, older keys of that tenant and name stop working: a stack that starts again leaves none behind.
    """
    with Session(engine) as session, session.begin():
        keys = TenantCatalog(session, tenant_id).keys
        for older in keys.not_revoked(name) if replace else ():
            keys.revoke(older.id, "replaced")
        _, key = keys.issue(name=name, role=role, pepper=pepper, expires_at=expires_at)
    return key
