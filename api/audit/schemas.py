"""Response models of the audit log."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict

from headrace.api.wire import ResponseModel, Timestamp
from headrace.catalog.audit.verification import LinkFault, SealFault


class AuditLogItem(ResponseModel):
    """One write. `before` and `after` are the object's fields; secrets and long values are given as their SHA-256."""

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


class AuditLogPage(ResponseModel):
    """A page of the log, newest first; pages are numbered from 1."""

    logs: list[AuditLogItem]
    total: int
    page: int
    limit: int


class AuditVerification(ResponseModel):
    """Whether the hash chain of the tenant's entries is intact; if not, where and how it is broken.

    `hash_mismatch`: the entry was changed. `chain_link_mismatch`: an entry before it (or, at the last one, after it) is
    missing. The first `sealed` entries are sealed with a key that is not in the database; `brokenSeal` is
    `seal_mismatch` when they differ from what was sealed, `tail_missing` or `seal_missing` when more was sealed than
    exists, `seal_key_unknown` when the key is not available. Store `headHash` elsewhere from time to time: it proves
    all entries up to it.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "intact": True,
                    "verified": 128,
                    "total": 128,
                    "scanned": 128,
                    "headHash": "9f86d081" * 8,
                    "sealed": 128,
                }
            ]
        }
    )

    intact: bool
    verified: int
    total: int
    scanned: int
    head_hash: str
    sealed: int
    broken_at_id: str | None = None
    broken_reason: LinkFault | None = None
    broken_seal: SealFault | None = None
