"""A tenant's audit log: reads it, appends entries, and verifies that no entry was changed or deleted.

Triggers of the audited tables write the log inside the transaction that changes them (migration 0005), with its author
(`catalog.audit.author`). There is one chain per tenant:

    entry n: integrity_hash = SHA-256(content), content = [prev_hash, sequence, id, tenant, time, …], prev_hash = n-1's

The end of the chain is sealed within seconds, with a key that is not in the database (`catalog.audit.seals`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, select, text

from headrace.catalog.audit.seals import AuditKeys, Seal
from headrace.catalog.audit.verification import FIRST_HASH, BrokenReason, Verification, reseal, verify
from headrace.catalog.audit.witness import Witness
from headrace.catalog.models import AuditEntry
from headrace.catalog.repositories.base import TenantRepository

__all__ = ["FIRST_HASH", "AuditRepository", "BrokenReason", "Verification"]


class AuditRepository(TenantRepository[AuditEntry]):
    """Audit entries, which are only appended."""

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
        """Appends an entry for an action that no audited table records, in this transaction. Locks the tenant's chain
        until the transaction ends, so call it last."""
        entry = {"tenant": self.tenant_id, "action": action, "type": entity_type, "id": entity_id, "name": entity_name}
        facts = {"before": _json(before), "after": _json(after)}
        self.session.execute(_APPEND, entry | facts)

    def newest(
        self, *, limit: int, offset: int = 0, entity_type: str | None = None, entity_id: str | None = None
    ) -> tuple[Sequence[AuditEntry], int]:
        """Returns at most `limit` entries after the first `offset`, newest first, and the number of all entries."""
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

    def verify(self, keys: AuditKeys | None = None, witness: Witness | None = None) -> Verification:
        """Verifies the chain from its first entry to its head, in constant memory, up to the first fault; with keys
        also its seal, and with a witness also the seal that it saw.

        It must be the first statement of its transaction, which reads entries and head in one snapshot. Raises OSError
        or ValueError if the witness cannot be read.
        """
        return verify(self.session, self.tenant_id, self.owned(), keys, witness)

    def reseal(self, keys: AuditKeys, witness: Witness) -> tuple[Seal | None, BrokenReason | None]:
        """Returns a seal of the whole chain, or why it cannot be sealed (`audit_check.reseal`)."""
        return reseal(self.session, self.tenant_id, self.owned(), keys, witness)


def _json(facts: Mapping[str, Any] | None) -> str | None:
    return None if facts is None else json.dumps(dict(facts))


_APPEND = text("""
    SELECT headrace.audit_append(
        :tenant, :action, :type, :id, :name, NULL, CAST(:before AS jsonb), CAST(:after AS jsonb))
""")
