"""The shapes of the audit log on the wire."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict

from api.wire import Shown, Timestamp
from catalog.repositories.audit import BrokenReason


class AuditLogItem(Shown):
    """One write. `before` and `after` are the object's fields; secrets and long values are there as their SHA-256."""

    id: str
    action: str
    entity_type: str
    entity_id: str
    entity_name: str | None
    changes: dict[str, dict[Literal["from", "to"], Any]] | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    entity_version: int | None
    user_id: str
    user_name: str
    tenant_id: str
    request_id: str | None
    integrity_hash: str
    prev_hash: str
    timestamp: Timestamp


class AuditLogPage(Shown):
    """A page of the log, newest first; pages count from 1."""

    logs: list[AuditLogItem]
    total: int
    page: int
    limit: int


class AuditVerification(Shown):
    """Whether the chain of the tenant's entries is whole; if not, where and how it is broken.

    `hash_mismatch`: the entry was changed. `chain_link_mismatch`: an entry before it (or, at the last one, behind it)
    is gone. Keep `headHash` elsewhere from time to time: it vouches for everything up to it.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"intact": True, "verified": 128, "total": 128, "scanned": 128, "headHash": "9f86d081" * 8}]
        }
    )

    intact: bool
    verified: int
    total: int
    scanned: int
    head_hash: str
    broken_at_id: str | None = None
    broken_reason: BrokenReason | None = None
