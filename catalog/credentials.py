"""Connector credentials at rest: AES-256-GCM, bound to the connector they belong to."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


class CredentialsUnreadable(Exception):
    """Sealed credentials do not open: another pepper, another connector, or damaged."""


def seal(credentials: dict[str, Any], *, connector_id: str, pepper: str) -> bytes | None:
    """Encrypts a JSON object; None for an empty one."""
    if not credentials:
        return None
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(_key(pepper)).encrypt(nonce, json.dumps(credentials).encode(), connector_id.encode())


def unseal(sealed: bytes | None, *, connector_id: str, pepper: str) -> dict[str, Any]:
    """The object `seal` took. Raises CredentialsUnreadable."""
    if sealed is None:
        return {}
    try:
        plain = AESGCM(_key(pepper)).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], connector_id.encode())
    except (InvalidTag, ValueError) as error:
        raise CredentialsUnreadable(f"the credentials of {connector_id} do not open with this key") from error
    credentials: dict[str, Any] = json.loads(plain)
    return credentials


def _key(pepper: str) -> bytes:
    return hmac.new(pepper.encode(), b"headrace connector credentials", hashlib.sha256).digest()
