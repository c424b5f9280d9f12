"""API keys: format, storage (a keyed hash, never the key), and authentication."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from headrace.catalog.models import ApiKey

Role = Literal["admin", "editor", "viewer"]
ROLES: tuple[Role, ...] = get_args(Role)

KEY_PREFIX = "hr_"
_KEY = re.compile(r"hr_[A-Za-z0-9_-]{43}")
_SHOWN_LENGTH = len(KEY_PREFIX) + 8
_LAST_USED_EVERY = timedelta(minutes=1)
"""How often `last_used_at` is updated: a write per request would cost more than the request."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of a request: tenant, role, name for `authoredBy` and logs, and key."""

    tenant_id: str
    role: Role
    actor: str
    key_id: str
    expires_at: datetime | None = None


def generate_key() -> str:
    """Returns a new plaintext key: `hr_` and 43 url-safe characters (256 random bits)."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def is_key(text: str) -> bool:
    """Whether the text has the format of a key."""
    return _KEY.fullmatch(text) is not None


def shown_prefix(key: str) -> str:
    """Returns the prefix of a key, which may be shown and is used to find it."""
    return key[:_SHOWN_LENGTH]


def digest(key: str, pepper: str) -> bytes:
    """Returns the HMAC-SHA256 of the key with the pepper: useless to a reader of the database without the pepper."""
    return hmac.new(pepper.encode(), key.encode(), hashlib.sha256).digest()


def authenticate(session: Session, key: str, pepper: str, *, now: datetime | None = None) -> Principal | None:
    """Returns the principal of `key`; None if it is unknown, revoked or expired. Hashes are compared in constant
    time."""
    if not is_key(key):
        return None
    now = now or datetime.now(UTC)
    presented = digest(key, pepper)
    found: ApiKey | None = None
    for candidate in session.scalars(select(ApiKey).where(ApiKey.prefix == shown_prefix(key))):
        if hmac.compare_digest(candidate.digest, presented):
            found = candidate
    if found is None or found.revoked_at is not None or (found.expires_at is not None and found.expires_at <= now):
        return None
    if found.last_used_at is None or now - found.last_used_at >= _LAST_USED_EVERY:
        session.execute(update(ApiKey).where(ApiKey.id == found.id).values(last_used_at=now))
    role = next(role for role in ROLES if role == found.role)
    return Principal(found.tenant_id, role, found.name, found.id, found.expires_at)


def still_valid(session: Session, principal: Principal, *, now: datetime | None = None) -> bool:
    """Whether the principal's key is still valid, with the same tenant and role."""
    key = session.get(ApiKey, principal.key_id)
    if key is None or key.revoked_at is not None or (key.tenant_id, key.role) != (principal.tenant_id, principal.role):
        return False
    return key.expires_at is None or key.expires_at > (now or datetime.now(UTC))
