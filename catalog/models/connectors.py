"""Connectors: where a tenant's data comes from."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import BigInteger, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from headrace.catalog.models.base import Created, TenantOwned, newest_first

ConnectorStatus = Literal["active", "error"]
"""`error`: the last test of its connection failed."""


class Connector(TenantOwned):
    """A named connection. `config` may be shown; `auth_sealed` are the encrypted credentials, which are never
    returned."""

    __tablename__ = "connectors"

    name: Mapped[str]
    type: Mapped[str]
    description: Mapped[str | None]
    config: Mapped[dict[str, Any]] = mapped_column(JSONB)
    auth_method: Mapped[str]
    auth_sealed: Mapped[bytes | None]
    status: Mapped[ConnectorStatus] = mapped_column(Text)
    last_tested_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    last_sync_row_count: Mapped[int | None] = mapped_column(BigInteger)
    last_sync_at: Mapped[datetime | None]
    updated_at: Mapped[Created]

    __table_args__ = (
        UniqueConstraint("tenant_id", "name", name="connectors_name"),
        newest_first("connectors_newest", "tenant_id"),
    )
