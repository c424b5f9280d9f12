"""Seals of the audit log: HMACs of its hash chain, with keys that are not in the database.

The hash chain alone does not protect the log: with write access to the database it can be computed again. A seal is the
HMAC of (tenant, sequence, hash of that entry), and so covers all entries before it. Sealed entries can be deleted
together with the seal, so the latest seal is also kept outside the database (`catalog.audit.witness`, and the log).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from headrace.catalog.models import AuditHead

_ID_CHARS = 8


@dataclass(frozen=True, slots=True)
class Seal:
    """The seal of the entry `sequence` with the hash `integrity_hash`; `key` is the id of the key, `mac` the HMAC."""

    sequence: int
    integrity_hash: str
    key: str
    mac: str

    @classmethod
    def of(cls, head: AuditHead) -> Seal | None:
        """Returns the seal of a chain; None if it has none yet."""
        if head.sealed_sequence is None:
            return None
        return cls(head.sealed_sequence, head.sealed_hash or "", head.seal_key or "", head.seal or "")

    def write_to(self, head: AuditHead) -> None:
        """Stores the seal in the chain's head."""
        head.sealed_sequence, head.sealed_hash = self.sequence, self.integrity_hash
        head.seal_key, head.seal = self.key, self.mac


class AuditKeys:
    """The keys of seals, derived from existing secrets, newest first; the first one makes new seals."""

    __slots__ = ("_first", "_keys")

    def __init__(self, secrets: Sequence[bytes]) -> None:
        """Derives one key from each secret; there must be at least one."""
        keys = [HKDF(SHA256(), 32, salt=None, info=b"headrace audit seal").derive(secret) for secret in secrets]
        self._keys = {hashlib.sha256(b"headrace audit key\x00" + key).hexdigest()[:_ID_CHARS]: key for key in keys}
        self._first = next(iter(self._keys))

    def seal(self, tenant_id: str, sequence: int, integrity_hash: str) -> Seal:
        """Makes a seal with the newest key."""
        mac = _mac(self._keys[self._first], tenant_id, sequence, integrity_hash)
        return Seal(sequence, integrity_hash, self._first, mac)

    def knows(self, seal: Seal) -> bool:
        """Whether the key of the seal is available."""
        return seal.key in self._keys

    def is_current(self, seal: Seal) -> bool:
        """Whether the seal was made with the newest key."""
        return seal.key == self._first

    def verifies(self, tenant_id: str, seal: Seal) -> bool:
        """Whether the seal is valid for this tenant; False if its key is not available."""
        key = self._keys.get(seal.key)
        if key is None:
            return False
        return hmac.compare_digest(_mac(key, tenant_id, seal.sequence, seal.integrity_hash), seal.mac)


def _mac(key: bytes, tenant_id: str, sequence: int, integrity_hash: str) -> str:
    content = json.dumps(["headrace audit seal 1", tenant_id, sequence, integrity_hash])
    return hmac.new(key, content.encode(), hashlib.sha256).hexdigest()
