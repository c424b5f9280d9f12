"""Operations on the audit log: list and verify."""

from __future__ import annotations

from typing import Any

from pydantic.alias_generators import to_camel

from headrace.api.audit.schemas import AuditLogItem, AuditLogPage, AuditVerification
from headrace.api.context import RequestContext
from headrace.api.errors import ApiError
from headrace.catalog.models import AuditEntry


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
    """Verifies the tenant's whole chain. Raises ApiError 503 when the witness cannot be read."""
    sealer = context.services.audit_sealer
    try:
        with context.catalog() as catalog:
            found = catalog.audit.verify(sealer.keys, sealer.witness)
    except (OSError, ValueError) as error:
        raise ApiError(503, f"The witness of the audit log cannot be read: {type(error).__name__}") from error
    shown = AuditVerification(
        intact=found.intact,
        verified=found.verified,
        total=found.total,
        scanned=found.scanned,
        head_hash=found.head_hash,
        sealed=found.sealed,
    )
    if not found.intact:
        shown.broken_at_id = found.broken_at_id
        match found.broken_reason:
            case "hash_mismatch" | "chain_link_mismatch" as link:
                shown.broken_reason = link
            case "tail_missing" | "seal_missing" as gone:
                shown.broken_reason, shown.broken_seal = "chain_link_mismatch", gone
            case "seal_mismatch" | "seal_key_unknown" as other:
                shown.broken_reason, shown.broken_seal = "hash_mismatch", other
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
    """The fields with their names in the API."""
    return None if facts is None else {to_camel(name): value for name, value in facts.items()}
