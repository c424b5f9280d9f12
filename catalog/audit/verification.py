"""Verifies a tenant's audit chain: its links, its seal, and the seal that a witness saw."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import Select, func, select, text
from sqlalchemy.orm import Session

from headrace.catalog.audit.seals import AuditKeys, Seal
from headrace.catalog.audit.witness import Witness
from headrace.catalog.models import AuditEntry, AuditHead

FIRST_HASH = "0" * 64
_ROWS_AT_ONCE = 1000

LinkFault = Literal["hash_mismatch", "chain_link_mismatch"]
SealFault = Literal["seal_mismatch", "seal_missing", "seal_key_unknown", "tail_missing"]
BrokenReason = LinkFault | SealFault


Entries = Select[tuple[AuditEntry]]
"""The query of the tenant's entries."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of a verification. Of `total` entries, the first `verified` are linked, and the first `sealed` of
    these are covered by a valid seal. `broken_at_id` and `broken_reason` are set if the chain is broken. `head_hash`
    covers all entries before it, and can be kept elsewhere."""

    intact: bool
    total: int
    scanned: int
    verified: int
    head_hash: str
    broken_at_id: str | None = None
    broken_reason: BrokenReason | None = None
    sealed: int = 0


@dataclass(slots=True)
class _Walk:
    """The state of a walk along the chain, with the hashes and ids of the `wanted` entries."""

    wanted: frozenset[int]
    sequence: int = 0
    hash: str = FIRST_HASH
    last_id: str | None = None
    marks: dict[int, tuple[str, str | None]] = field(default_factory=dict)


def verify(
    session: Session, tenant_id: str, owned: Entries, keys: AuditKeys | None, witness: Witness | None
) -> Verification:
    """Verifies the chain from its first entry to its head, in constant memory, up to the first fault. Without keys,
    seals are not checked.

    It must be the first statement of its transaction, which reads entries and head in one snapshot.
    """
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    head = session.get(AuditHead, tenant_id)
    total = session.scalar(select(func.count()).select_from(owned.subquery())) or 0
    seal = Seal.of(head) if head is not None and keys is not None else None
    seen = witness.latest(tenant_id) if witness is not None and keys is not None else None
    wanted = frozenset(each.sequence for each in (seal, seen) if each is not None)
    walk = _Walk(wanted, marks={0: (FIRST_HASH, None)})

    def found(reason: BrokenReason | None = None, at: str | None = None, sealed: int = 0) -> Verification:
        scanned = walk.sequence + (reason in ("hash_mismatch", "chain_link_mismatch") and at != walk.last_id)
        return Verification(reason is None, total, scanned, walk.sequence, walk.hash, at, reason, sealed)

    for entry_id, fault in _links(session, owned, walk):
        return found(fault, entry_id)
    recorded = (0, FIRST_HASH) if head is None else (head.sequence, head.integrity_hash)
    if recorded != (walk.sequence, walk.hash):  # the newest entries were deleted
        return found("chain_link_mismatch", walk.last_id)
    if keys is None:
        return found()
    sealed, reason = _proven(tenant_id, keys, seal, seen, walk)
    return found(reason, walk.marks[sealed][1] if reason and sealed in walk.marks else None, sealed)


def _links(session: Session, owned: Entries, walk: _Walk) -> Iterator[tuple[str, BrokenReason]]:
    """Walks to the end; yields the first entry that is not linked to the previous one."""
    contents = owned.with_only_columns(
        AuditEntry.id, AuditEntry.sequence, AuditEntry.prev_hash, AuditEntry.integrity_hash, _CONTENT
    ).where(AuditEntry.sequence > walk.sequence)
    ordered = contents.order_by(AuditEntry.sequence).execution_options(yield_per=_ROWS_AT_ONCE)
    for entry_id, sequence, prev_hash, integrity_hash, content in session.execute(ordered):
        if hashlib.sha256(content.encode()).hexdigest() != integrity_hash:
            yield entry_id, "hash_mismatch"
            return
        if prev_hash != walk.hash or sequence != walk.sequence + 1:
            yield entry_id, "chain_link_mismatch"
            return
        walk.sequence, walk.hash, walk.last_id = sequence, integrity_hash, entry_id
        if sequence in walk.wanted:
            walk.marks[sequence] = (integrity_hash, entry_id)


def _proven(
    tenant_id: str, keys: AuditKeys, seal: Seal | None, seen: Seal | None, walk: _Walk
) -> tuple[int, BrokenReason | None]:
    """Returns (number of sealed entries, fault) of a chain with intact links."""
    if seen is not None:
        if seen.sequence not in walk.marks:
            return 0, "tail_missing"
        if walk.marks[seen.sequence][0] != seen.integrity_hash:
            return seen.sequence, "seal_mismatch"
    if seal is None:
        return 0, "seal_missing" if seen is not None else None
    if not keys.knows(seal):
        return seal.sequence, "seal_key_unknown"
    if not keys.verifies(tenant_id, seal) or walk.marks.get(seal.sequence, ("",))[0] != seal.integrity_hash:
        return seal.sequence, "seal_mismatch"
    return seal.sequence, None


def reseal(
    session: Session, tenant_id: str, owned: Entries, keys: AuditKeys, witness: Witness
) -> tuple[Seal | None, BrokenReason | None]:
    """Seals a chain up to its end if its last seal is valid and all entries since are linked to it. Otherwise returns
    the fault and no seal: a seal must not cover changed entries.

    It must be the first statement of its transaction. Raises OSError or ValueError if the witness cannot be read.
    """
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    head = session.get(AuditHead, tenant_id)
    assert head is not None, "the caller has read it"
    seal, seen = Seal.of(head), witness.latest(tenant_id)
    walk = _Walk(frozenset() if seen is None else frozenset([seen.sequence]), marks={0: (FIRST_HASH, None)})
    if seal is not None:
        if not keys.knows(seal):
            return None, "seal_key_unknown"
        there = session.scalar(
            owned.with_only_columns(AuditEntry.integrity_hash).where(AuditEntry.sequence == seal.sequence)
        )
        if not keys.verifies(tenant_id, seal) or (there or FIRST_HASH) != seal.integrity_hash:
            return None, "seal_mismatch"
        walk.sequence, walk.hash = seal.sequence, seal.integrity_hash
        walk.marks[seal.sequence] = (seal.integrity_hash, None)
        if seen is not None and seen.sequence < seal.sequence:
            seen = None  # a later seal covers the seal of the witness
    elif seen is not None:
        return None, "seal_missing"
    for _, reason in _links(session, owned, walk):
        return None, reason
    if (head.sequence, head.integrity_hash) != (walk.sequence, walk.hash):
        return None, "chain_link_mismatch"
    if seen is not None and seen.sequence not in walk.marks:
        return None, "tail_missing"
    if seen is not None and walk.marks[seen.sequence][0] != seen.integrity_hash:
        return None, "seal_mismatch"
    return keys.seal(tenant_id, walk.sequence, walk.hash), None


# The content that headrace.audit_append hashes, built again here, because that function may have been changed too.
_CONTENT = text("""
    jsonb_build_array(
        prev_hash, sequence, id, tenant_id, (extract(epoch FROM created_at) * 1000000)::bigint,
        action, entity_type, entity_id, entity_name, entity_version, before, after, user_id, user_name, request_id
    )::text
""")
