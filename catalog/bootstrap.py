"""The first tenant and the first key of a fresh catalog, for whoever starts a stack."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Engine, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from catalog.keys import Role, digest, generate_key, shown_prefix
from catalog.models import ApiKey, Tenant, new_id


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
    key = generate_key()
    with Session(engine) as session, session.begin():
        if replace:
            session.execute(
                update(ApiKey)
                .where(ApiKey.tenant_id == tenant_id, ApiKey.name == name, ApiKey.revoked_at.is_(None))
                .values(revoked_at=datetime.now(UTC))
            )
        session.add(
            ApiKey(
                id=new_id("key"),
                tenant_id=tenant_id,
                name=name,
                role=role,
                prefix=shown_prefix(key),
                digest=digest(key, pepper),
                expires_at=expires_at,
            )
        )
    return key
