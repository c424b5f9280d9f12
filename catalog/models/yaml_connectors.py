"""Connectors as documents: HTTP APIs described in YAML."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from headrace.catalog.models.base import Base, Created, TenantOwned, newest_first


class YamlConnector(TenantOwned):
    """A connector's document. `name` is the document's `id`; `live_version` is read by whoever names no version."""

    __tablename__ = "yaml_connectors"

    name: Mapped[str]
    display_name: Mapped[str]
    live_version: Mapped[int]
    updated_at: Mapped[Created]

    __table_args__ = (
        UniqueConstraint("tenant_id", "name", name="yaml_connectors_name"),
        newest_first("yaml_connectors_newest", "tenant_id"),
    )


class YamlConnectorVersion(Base):
    """A version of a document; versions count up from 1 and never change."""

    __tablename__ = "yaml_connector_versions"

    yaml_connector_id: Mapped[str] = mapped_column(ForeignKey(YamlConnector.id, ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    document: Mapped[dict[str, Any]] = mapped_column(JSONB)
    authored_by: Mapped[str | None]
    comment: Mapped[str | None]
    created_at: Mapped[Created]
