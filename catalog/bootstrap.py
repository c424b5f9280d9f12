"""Creates the first tenant and the first API key of a new catalog."""

from __future__ import annotations

import re
from datetime import datetime

from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from headrace.catalog.models import Tenant
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.security.api_keys import Role

TENANT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""The pattern of ids of new tenants."""


def ensure_tenant(engine: Engine, tenant_id: str, name: str | None = None) -> None:
    """Creates the tenant if it does not exist. Raises ValueError for an id that does not match TENANT_ID."""
    if not TENANT_ID.fullmatch(tenant_id):
        raise ValueError(f"a tenant id has up to 64 letters, digits, '_' and '-', not {tenant_id!r}")
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
    """Stores a new key of an existing tenant and returns its plaintext, which is not stored.

    With `replace`, older keys of that tenant and name are revoked, so that restarts of a stack leave no stale keys.
    """
    with Session(engine) as session, session.begin():
        keys = TenantCatalog(session, tenant_id).keys
        for older in keys.not_revoked(name) if replace else ():
            keys.revoke(older.id, "replaced")
        _, key = keys.issue(name=name, role=role, pepper=pepper, expires_at=expires_at)
    return key
