"""A tenant's audit log: reading it, adding what no table shows, and the proof that no entry is changed or gone.

The audited tables write the log inside the transaction that changes them (migration 0005), in the name of its author
(`catalog.authorship`). One chain per tenant:

    entry n: integrity_hash = SHA-256(content), content = [prev_hash, sequence, id, tenant, time, …], prev_hash = n-1's
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, func, select, text

from catalog.models import AuditEntry, AuditHead
from catalog.repositories.base import TenantRepository

FIRST_HASH = "0" * 64
_ROWS_AT_ONCE = 1000

BrokenReason = Literal["hash_mismatch", "chain_link_mismatch"]


@dataclass(frozen=True, slots=True)
class Verification:
    """What a walk along a chain found. `total` entries are there, the first `verified` are proven; when the chain is
    broken, at which entry and how. `head_hash` is worth keeping elsewhere: it vouches for everything before it."""

    intact: bool
    total: int
    scanned: int
    verified: int
    head_hash: str
    broken_at_id: str | None = None
    broken_reason: BrokenReason | None = None


class AuditRepository(TenantRepository[AuditEntry]):
    """Entries, which are only ever appended."""

    model = AuditEntry
    noun = "audit entry"

    def append(
        self,
        action: str,
        entity_type: str,
        entity_id: str,
        entity_name: str | None = None,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """An entry for what no audited table shows, in this transaction. It holds the tenant's chain until the
        transaction ends: let it be the last thing that is done."""
        entry = {"tenant": self.tenant_id, "action": action, "type": entity_type, "id": entity_id, "name": entity_name}
        facts = {"before": _json(before), "after": _json(after)}
        self.session.execute(_APPEND, entry | facts)

    def newest(
        self, *, limit: int, offset: int = 0, entity_type: str | None = None, entity_id: str | None = None
    ) -> tuple[Sequence[AuditEntry], int]:
        """Entries newest first, `limit` at most behind the first `offset`, and how many there are in all."""
        where: list[ColumnElement[bool]] = []
        if entity_type is not None:
            where.append(AuditEntry.entity_type == entity_type)
        if entity_id is not None:
            where.append(AuditEntry.entity_id == entity_id)
        chosen = self.owned().where(*where)
        found = self.session.scalars(chosen.order_by(AuditEntry.sequence.desc()).limit(limit).offset(offset)).all()
        return found, self.session.scalar(
            select(func.count()).select_from(chosen.with_only_columns(AuditEntry.id).subquery())
        ) or 0

    def verify(self) -> Verification:
        """Walks the chain from its first entry to its head, in constant memory; ends at the first fault.

        To be called first in its transaction: entries and head must be of one moment.
        """
        self.session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        head = self.session.get(AuditHead, self.tenant_id)
        total = self.session.scalar(select(func.count()).select_from(self.owned().subquery())) or 0
        expected, scanned, last_id = FIRST_HASH, 0, None
        contents = self.owned().with_only_columns(
            AuditEntry.id, AuditEntry.sequence, AuditEntry.prev_hash, AuditEntry.integrity_hash, _CONTENT
        )
        ordered = contents.order_by(AuditEntry.sequence).execution_options(yield_per=_ROWS_AT_ONCE)
        for entry_id, sequence, prev_hash, integrity_hash, content in self.session.execute(ordered):
            reason: BrokenReason | None = None
            if hashlib.sha256(content.encode()).hexdigest() != integrity_hash:
                reason = "hash_mismatch"
            elif prev_hash != expected or sequence != scanned + 1:
                reason = "chain_link_mismatch"
            scanned += 1
            if reason is not None:
                return Verification(False, total, scanned, scanned - 1, expected, entry_id, reason)
            expected, last_id = integrity_hash, entry_id
        recorded = (0, FIRST_HASH) if head is None else (head.sequence, head.integrity_hash)
        if recorded != (scanned, expected):  # the newest entries are gone
            return Verification(False, total, scanned, scanned, expected, last_id, "chain_link_mismatch")
        return Verification(True, total, scanned, scanned, expected)


def _json(facts: Mapping[str, Any] | None) -> str | None:
    return None if facts is None else json.dumps(dict(facts))


_APPEND = text("""
    SELECT headrace.audit_append(
        :tenant, :action, :type, :id, :name, NULL, CAST(:before AS jsonb), CAST(:after AS jsonb))
""")

# What headrace.audit_append hashed, put together here once more: its own function may have been changed too.
_CONTENT = text("""
    jsonb_build_array(
        prev_hash, sequence, id, tenant_id, (extract(epoch FROM created_at) * 1000000)::bigint,
        action, entity_type, entity_id, entity_name, entity_version, before, after, user_id, user_name, request_id
    )::text
""")
