"""Applied sets: the objects that files have created in a tenant (`headrace apply`), by the name of the set."""

from __future__ import annotations

from typing import Any

from sqlalchemy import UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from headrace.catalog.models.base import Created, TenantOwned


class AppliedSet(TenantOwned):
    """A set of files. `objects` are those it owns, `[{"kind": "pipeline", "id": "pipe_…"}, …]`; some may no longer
    exist."""

    __tablename__ = "applied_sets"

    name: Mapped[str]
    objects: Mapped[list[Any]] = mapped_column(JSONB)
    updated_at: Mapped[Created]

    __table_args__ = (UniqueConstraint("tenant_id", "name", name="applied_sets_name"),)
