"""The audit log: one hash chain per tenant, written by triggers of the audited tables."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from headrace.catalog.engine import SCHEMA
from headrace.catalog.models.base import Base, Big, TenantOwned


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
    """The head of a tenant's chain, which shows whether the last entries were deleted. Appending locks this row. The
    chain is sealed up to `sealed_sequence`, with a key that is not in the database (`catalog.audit.seals`)."""

    __tablename__ = "audit_heads"

    tenant_id: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.tenants.id"), primary_key=True)
    sequence: Mapped[Big]
    integrity_hash: Mapped[str]
    sealed_sequence: Mapped[int | None] = mapped_column(BigInteger)
    sealed_hash: Mapped[str | None]
    seal_key: Mapped[str | None]
    seal: Mapped[str | None]
