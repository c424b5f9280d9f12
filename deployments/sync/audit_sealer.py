"""Seals the tenants' audit logs while an API process runs, within seconds of an entry, and keeps the seals outside the
database: in the witness file and as log lines.

A log that differs from what was sealed is never sealed again, which would confirm the change. An error is logged once a
minute, and `headrace_audit_broken` counts it, until the log is intact or an operator accepts it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog
from sqlalchemy import Engine, select, text, update
from sqlalchemy.orm import Session

from headrace.catalog.audit.seals import AuditKeys, Seal
from headrace.catalog.audit.witness import Witness
from headrace.catalog.models import AuditHead
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.repositories.audit import BrokenReason

EVERY_S = 1.0
_LOG_EVERY_S = 60.0
_HINT = "see docs/audit-log.md; after a restore, `headrace keys accept-audit-log` accepts it"

_log = structlog.get_logger("headrace.audit")


@dataclass(frozen=True, slots=True)
class SealState:
    """The result of a pass: the number of sealed entries, and the tenants whose log is broken, with the reason."""

    sealed: int = 0
    broken: Mapping[str, BrokenReason] = field(default_factory=dict)


class AuditSealer:
    """One per process; several processes may seal the same database."""

    def __init__(self, engine: Engine, keys: AuditKeys, witness: Witness) -> None:
        self._engine, self.keys, self.witness = engine, keys, witness
        self._done: dict[str, tuple[int, Seal | None]] = {}
        self._logged_at: dict[str, float] = {}
        self.state = SealState()

    def step(self) -> float:
        """Seals new entries; returns the seconds until the next step. Raises SQLAlchemyError."""
        with Session(self._engine) as session:
            heads = {each.tenant_id: (each.sequence, Seal.of(each)) for each in session.scalars(select(AuditHead))}
        broken = dict(self.state.broken)
        for tenant_id, found in heads.items():
            if tenant_id in broken:
                if not self._due(tenant_id):
                    continue
            elif self._done.get(tenant_id) == found:
                continue
            reason = self._settle(tenant_id, found)
            broken.pop(tenant_id, None)
            if reason is not None:
                broken[tenant_id] = reason
                self._due(tenant_id)
                _log.error("the audit log is not what was sealed", tenant=tenant_id, reason=reason, remedy=_HINT)
        for tenant_id in self._done.keys() - heads.keys():
            broken[tenant_id] = "tail_missing"
            if self._due(tenant_id):
                _log.error("the audit log is gone", tenant=tenant_id, remedy=_HINT)
        sealed = sum(seal.sequence for _, seal in self._done.values() if seal is not None)
        self.state = SealState(sealed, broken)
        return EVERY_S

    def _settle(self, tenant_id: str, found: tuple[int, Seal | None]) -> BrokenReason | None:
        try:
            with Session(self._engine) as session:
                seal, reason = TenantCatalog(session, tenant_id).audit.reseal(self.keys, self.witness)
        except (OSError, ValueError) as error:
            self._tell_witness(error)
            return self.state.broken.get(tenant_id)
        if seal is None:
            return reason
        before = found[1]
        if seal != before:
            with Session(self._engine) as session, session.begin():
                # The seal must be on disk before the witness records it, which is permanent.
                session.execute(text("SET LOCAL synchronous_commit = on"))
                same = AuditHead.sealed_sequence.is_(None) if before is None else AuditHead.seal == before.mac
                changed = session.execute(
                    update(AuditHead)
                    .where(AuditHead.tenant_id == tenant_id, same)
                    .values(
                        sealed_sequence=seal.sequence,
                        sealed_hash=seal.integrity_hash,
                        seal_key=seal.key,
                        seal=seal.mac,
                    )
                    .returning(AuditHead.tenant_id)
                ).all()
            if not changed:  # sealed by another process
                return None
            facts = {"sequence": seal.sequence, "hash": seal.integrity_hash, "key": seal.key, "seal": seal.mac}
            _log.info("audit log sealed", tenant=tenant_id, **facts)
        self._done[tenant_id] = (seal.sequence, seal)
        try:
            self.witness.remember({tenant_id: seal})
        except (OSError, ValueError) as error:
            self._tell_witness(error)
        return None

    def _tell_witness(self, error: Exception) -> None:
        if self._due(""):
            hint = "HEADRACE_AUDIT_WITNESS is a file that the facade may write; meanwhile the log alone keeps the seals"
            _log.warning("the witness of the audit log cannot be kept", kind=type(error).__name__, remedy=hint)

    def _due(self, key: str) -> bool:
        now = time.monotonic()
        if now - self._logged_at.get(key, -_LOG_EVERY_S) < _LOG_EVERY_S:
            return False
        self._logged_at[key] = now
        return True
