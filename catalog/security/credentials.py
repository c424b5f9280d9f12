"""Connector credentials at rest: AES-256-GCM bound to their connector, and the rotation of the key."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Engine, select, text, update
from sqlalchemy.orm import Session

from headrace.catalog.audit.seals import AuditKeys, Seal
from headrace.catalog.models import AuditHead, Connector

KEY_BYTES = 32
_VERSION = b"\x01"
_ID_BYTES = 4
_NONCE_BYTES = 12
_HEAD = len(_VERSION) + _ID_BYTES
_SEPARATORS = re.compile(r"[\s,]+")


class CredentialsUnreadable(Exception):
    """Sealed credentials cannot be decrypted: their key is missing, they belong to another connector, or are
    damaged."""


class NoEncryptionKey(Exception):
    """There is no key to seal credentials with."""


class Keyring:
    """The keys that decrypt credentials; the first one encrypts.

    A sealed value is a version byte, a key id of four bytes, a nonce of twelve bytes, and the ciphertext with its tag.
    The connector's id is authenticated along with it.
    """

    __slots__ = ("_first", "_keys")

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Takes keys of 32 bytes, newest first. A ring without keys can neither seal nor unseal. Raises ValueError."""
        if any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"an encryption key has {KEY_BYTES} bytes")
        self._keys = {_key_id(key): AESGCM(key) for key in keys}
        self._first = _key_id(keys[0]) if keys else None

    @classmethod
    def parse(cls, text: str) -> Keyring:
        """Parses base64 keys, newest first, separated by commas or blanks. Raises ValueError, without the text."""
        return cls(encryption_keys(text))

    def seal(self, credentials: dict[str, Any], *, connector_id: str) -> bytes | None:
        """Encrypts a JSON object with the first key; None for an empty one. Raises NoEncryptionKey."""
        if not credentials:
            return None
        if self._first is None:
            raise NoEncryptionKey("there is no key to encrypt credentials with: set HEADRACE_ENCRYPTION_KEYS")
        head, nonce = _VERSION + self._first, os.urandom(_NONCE_BYTES)
        plain = json.dumps(credentials).encode()
        return head + nonce + self._keys[self._first].encrypt(nonce, plain, head + connector_id.encode())

    def unseal(self, sealed: bytes | None, *, connector_id: str) -> dict[str, Any]:
        """Decrypts what `seal` returned. Raises CredentialsUnreadable."""
        if sealed is None:
            return {}
        head, nonce, encrypted = sealed[:_HEAD], sealed[_HEAD : _HEAD + _NONCE_BYTES], sealed[_HEAD + _NONCE_BYTES :]
        key = self._keys.get(head[len(_VERSION) :]) if head.startswith(_VERSION) else None
        if key is None:
            raise CredentialsUnreadable(
                f"the credentials of {connector_id} were sealed with a key that is not in HEADRACE_ENCRYPTION_KEYS"
            )
        try:
            plain = key.decrypt(nonce, encrypted, head + connector_id.encode())
        except (InvalidTag, ValueError) as error:
            raise CredentialsUnreadable(f"the credentials of {connector_id} are damaged") from error
        credentials: dict[str, Any] = json.loads(plain)
        return credentials

    def is_current(self, sealed: bytes) -> bool:
        """Whether it was sealed with the first key."""
        return self._first is not None and sealed.startswith(_VERSION + self._first)


def encryption_keys(text: str) -> list[bytes]:
    """Parses the value of HEADRACE_ENCRYPTION_KEYS, newest key first. Raises ValueError, without the text."""
    return [_decoded(part) for part in _SEPARATORS.split(text.strip()) if part]


def generate_encryption_key() -> str:
    """Returns a new key for HEADRACE_ENCRYPTION_KEYS: 32 random bytes in url-safe base64."""
    return secrets.token_urlsafe(KEY_BYTES)


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"headrace encryption key\x00" + key).digest()[:_ID_BYTES]


def _decoded(part: str) -> bytes:
    try:
        key = base64.b64decode(part.replace("-", "+").replace("_", "/") + "=" * (-len(part) % 4), validate=True)
    except ValueError:  # binascii.Error is one
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(f"every encryption key is {KEY_BYTES} random bytes in base64 (openssl rand -base64 32)")
    return key


@dataclass(frozen=True, slots=True)
class Resealed:
    """How many connectors' credentials were sealed again, and how many had the first key already."""

    resealed: int
    current: int


def reseal_credentials(engine: Engine, keyring: Keyring, audit_keys: AuditKeys) -> Resealed:
    """Seals the credentials of every connector of every tenant, and the audit logs, with the first key, in one
    transaction.

    Afterwards the other keys are no longer needed. Raises CredentialsUnreadable if credentials cannot be decrypted. An
    invalid seal of an audit log is kept, so that it is still reported as broken.
    """
    with Session(engine) as session, session.begin():
        # older keys are deleted after this commit, so it must be on disk
        session.execute(text("SET LOCAL synchronous_commit = on"))
        sealed = (
            select(Connector.id, Connector.auth_sealed)
            .where(Connector.auth_sealed.is_not(None))
            .order_by(Connector.id)
            .with_for_update()
        )
        resealed = current = 0
        for connector_id, credentials in session.execute(sealed).all():
            if credentials is not None and keyring.is_current(credentials):
                current += 1
                continue
            opened = keyring.unseal(credentials, connector_id=connector_id)
            again = keyring.seal(opened, connector_id=connector_id)
            session.execute(update(Connector).where(Connector.id == connector_id).values(auth_sealed=again))
            resealed += 1
        for head in session.scalars(select(AuditHead).with_for_update()):
            seal = Seal.of(head)
            if seal is not None and not audit_keys.is_current(seal) and audit_keys.verifies(head.tenant_id, seal):
                audit_keys.seal(head.tenant_id, seal.sequence, seal.integrity_hash).write_to(head)
    return Resealed(resealed, current)
