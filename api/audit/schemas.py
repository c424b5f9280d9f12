"""Response models of the audit log."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict

from headrace.api.wire import ResponseModel, TenantId, Timestamp
from headrace.catalog.audit.verification import LinkFault, SealFault


class AuditLogItem(ResponseModel):
    """One write. `before` and `after` are the object's fields; secrets and long values are given as their SHA-256."""

    id: str
    """The entry's id: `audit_…`."""
    action: str
    """`create`, `update` or `delete`, or the name of another operation, such as `cancel_run`; releases may add further
    ones."""
    entity_type: str
    """The kind of object that was written, such as `pipeline` or `api_key`; releases may add further ones."""
    entity_id: str
    """The id of the object."""
    entity_name: str | None
    """The name that the object had; null for objects without a name."""
    changes: dict[str, dict[Literal["from", "to"], Any]] | None
    """The fields that differ between `before` and `after`, each with both values; null unless both exist."""
    before: dict[str, Any] | None
    """The fields of the object before the write; null if it was created."""
    after: dict[str, Any] | None
    """The fields of the object after the write; null if it was deleted."""
    entity_version: int | None
    """The version of the object, where it has versions; else null."""
    user_id: str
    """The id of the API key that made the request, or what else wrote, such as a part of Headrace."""
    user_name: str
    """The name of that API key or other author."""
    tenant_id: TenantId
    request_id: str | None
    """The `X-Request-ID` of the request; null for a write outside of a request."""
    integrity_hash: str
    """The SHA-256 of the entry and of `prevHash`, in hexadecimal digits."""
    prev_hash: str
    """The `integrityHash` of the tenant's entry before this one; 64 zeros for the first."""
    timestamp: Timestamp
    """When it was written."""


class AuditLogPage(ResponseModel):
    """A page of the log, newest first; pages are numbered from 1."""

    logs: list[AuditLogItem]
    """The entries of the page, newest first."""
    total: int
    """The number of entries on all pages, with the filters of the request."""
    page: int
    """The number of this page, from 1."""
    limit: int
    """The most entries of a page, as requested."""


class AuditVerification(ResponseModel):
    """Whether the hash chain of the tenant's entries is intact; if not, where and how it is broken. Store `headHash`
    elsewhere from time to time: it proves all entries up to it."""

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
    """Whether every entry exists and is unchanged, as far as this can be proven."""
    verified: int
    """The number of entries from the first on that are linked without a fault."""
    total: int
    """The number of entries of the tenant."""
    scanned: int
    """The number of entries that were read; fewer than `total` after a fault."""
    head_hash: str
    """The `integrityHash` of the last verified entry; 64 zeros without one."""
    sealed: int
    """The number of entries from the first on that are sealed with a key outside of the database; 0 without seals."""
    broken_at_id: str | None = None
    """The id of the entry at which the chain is broken; omitted if it is intact."""
    broken_reason: LinkFault | None = None
    """`hash_mismatch`: the entry was changed. `chain_link_mismatch`: an entry before it (or, at the last one, after it)
    is missing. Omitted if the chain is intact."""
    broken_seal: SealFault | None = None
    """`seal_mismatch`: the entries differ from what was sealed. `tail_missing`, `seal_missing`: more was sealed than
    exists. `seal_key_unknown`: the key is not available. Omitted if the seal is not the reason."""
