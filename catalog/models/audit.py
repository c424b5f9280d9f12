"""The audit log: one hash chain per tenant, written by triggers of the audited tables (`catalog.audit`)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from catalog.engine import SCHEMA
from catalog.models.base import Base, Big, TenantOwned


class AuditEntry(TenantOwned):
    """One write: what it was before and after, and who did it. `sequence` counts from 1 per tenant without gaps."""

    __tablename__ = "audit_log"

    sequence: Mapped[Big]
    action: Mapped[str]
    entity_type: Mapped[str]
    entity_id: Mapped[str]
    entity_name: Mapped[str | None]
    entity_version: Mapped[int | None]
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    user_id: Mapped[str]
    user_name: Mapped[str]
    request_id: Mapped[str | None]
    prev_hash: Mapped[str]
    integrity_hash: Mapped[str]

    __table_args__ = (
        UniqueConstraint("tenant_id", "sequence", name="audit_log_sequence"),
        Index("audit_log_kind", "tenant_id", "entity_type", "sequence"),
        Index("audit_log_entity", "tenant_id", "entity_id", "sequence"),
    )


class AuditHead(Base):
    """The end of a tenant's chain: without it a removed last entry would not be missed. Appending locks this row."""

    __tablename__ = "audit_heads"

    tenant_id: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.tenants.id"), primary_key=True)
    sequence: Mapped[Big]
    integrity_hash: Mapped[str]
