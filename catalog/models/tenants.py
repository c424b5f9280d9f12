"""Tenants, their API keys, and the sessions that were begun with these."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index
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


class ConsoleSession(Base):
    """A session of the console: whoever has its token acts as its key, with the tenant and the role that the key had at
    the login."""

    __tablename__ = "console_sessions"

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey(ApiKey.id, ondelete="CASCADE"))
    tenant_id: Mapped[str] = mapped_column(ForeignKey(Tenant.id))
    role: Mapped[str]
    created_at: Mapped[Created]
    expires_at: Mapped[datetime]

    __table_args__ = (Index("console_sessions_key", "key_id"), Index("console_sessions_expired", "expires_at"))
