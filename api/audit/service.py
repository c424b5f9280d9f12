"""What the audit log can do: be read, and be proven."""

from __future__ import annotations

from typing import Any

from pydantic.alias_generators import to_camel

from api.audit.schemas import AuditLogItem, AuditLogPage, AuditVerification
from api.context import RequestContext
from catalog.models import AuditEntry


def list_entries(
    context: RequestContext, *, page: int, limit: int, entity_type: str | None, entity_id: str | None
) -> AuditLogPage:
    """A page of the tenant's log, newest first."""
    with context.catalog() as catalog:
        found, total = catalog.audit.newest(
            limit=limit, offset=(page - 1) * limit, entity_type=entity_type, entity_id=entity_id
        )
        return AuditLogPage(logs=[_shown(entry) for entry in found], total=total, page=page, limit=limit)


def verify(context: RequestContext) -> AuditVerification:
    """Walks the tenant's whole chain."""
    with context.catalog() as catalog:
        found = catalog.audit.verify()
    shown = AuditVerification(
        intact=found.intact,
        verified=found.verified,
        total=found.total,
        scanned=found.scanned,
        head_hash=found.head_hash,
    )
    if not found.intact:
        shown.broken_at_id, shown.broken_reason = found.broken_at_id, found.broken_reason
    return shown


def _shown(entry: AuditEntry) -> AuditLogItem:
    before, after = _wire(entry.before), _wire(entry.after)
    changes = None
    if before is not None and after is not None:
        changes = {
            name: {"from": before.get(name), "to": after.get(name)}
            for name in sorted(before.keys() | after.keys())
            if before.get(name) != after.get(name)
        }
    return AuditLogItem(
        id=entry.id,
        action=entry.action,
        entity_type=entry.entity_type,
        entity_id=entry.entity_id,
        entity_name=entry.entity_name,
        changes=changes,
        before=before,
        after=after,
        entity_version=entry.entity_version,
        user_id=entry.user_id,
        user_name=entry.user_name,
        tenant_id=entry.tenant_id,
        request_id=entry.request_id,
        integrity_hash=entry.integrity_hash,
        prev_hash=entry.prev_hash,
        timestamp=entry.created_at,
    )


def _wire(facts: dict[str, Any] | None) -> dict[str, Any] | None:
    """Columns under the names the resources have for them."""
    return None if facts is None else {to_camel(name): value for name, value in facts.items()}
