"""Tenants and their API keys."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from headrace.catalog.models.base import Base, Created, TenantOwned, newest_first


class Tenant(Base):
    """An owner of connectors, schemas and pipelines, isolated from other tenants."""

    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    created_at: Mapped[Created]


class ApiKey(TenantOwned):
    """A key of one tenant with one role. Only its keyed hash is stored; `prefix` identifies it for people."""

    __tablename__ = "api_keys"

    name: Mapped[str]
    role: Mapped[str]
    prefix: Mapped[str]
    digest: Mapped[bytes]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    revoked_reason: Mapped[str | None]
    last_used_at: Mapped[datetime | None]

    __table_args__ = (
        Index("api_keys_prefix", "prefix"),
        newest_first("api_keys_newest", "tenant_id"),
    )
