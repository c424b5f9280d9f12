"""Connector credentials at rest: AES-256-GCM under keys of their own, bound to the connector they belong to."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
from collections.abc import Sequence
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_VERSION = b"\x01"
_ID_BYTES = 4
_NONCE_BYTES = 12
_HEAD = len(_VERSION) + _ID_BYTES
_SEPARATORS = re.compile(r"[\s,]+")


class CredentialsUnreadable(Exception):
    """Sealed credentials do not open: their key is not at hand, they are another connector's, or damaged."""


class NoEncryptionKey(Exception):
    """There are credentials to seal and no key to seal them with."""


class Keyring:
    """The keys that open credentials; the first of them seals.

    A sealed text is a version byte, four bytes that name the key, a nonce of twelve bytes, and the ciphertext with its
    tag; the connector's id is authenticated along with it.
    """

    __slots__ = ("_first", "_keys")

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Keys of 32 bytes, newest first; none at all makes a ring that can neither seal nor open."""
        if any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"an encryption key has {KEY_BYTES} bytes")
        self._keys = {_key_id(key): AESGCM(key) for key in keys}
        self._first = _key_id(keys[0]) if keys else None

    @classmethod
    def parse(cls, text: str) -> Keyring:
        """Reads base64 keys, newest first, separated by commas or blanks. Raises ValueError, without the text."""
        return cls([_decoded(part) for part in _SEPARATORS.split(text.strip()) if part])

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
        """The object `seal` took. Raises CredentialsUnreadable."""
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


def generate_encryption_key() -> str:
    """A new key as it is written in HEADRACE_ENCRYPTION_KEYS: 32 random bytes in url-safe base64."""
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
