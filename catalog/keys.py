"""API keys: how they look, how they are stored (a keyed hash, never the key), and whom a presented key speaks for."""

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

from catalog.models import ApiKey

Role = Literal["admin", "editor", "viewer"]
ROLES: tuple[Role, ...] = get_args(Role)

KEY_PREFIX = "hr_"
_KEY = re.compile(r"hr_[A-Za-z0-9_-]{43}")
_SHOWN_LENGTH = len(KEY_PREFIX) + 8
_LAST_USED_EVERY = timedelta(minutes=1)
"""`last_used_at` is for people; a write per request would cost more than the request."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking: a tenant, a role, a name for `authoredBy` and the logs, and the key it is known by."""

    tenant_id: str
    role: Role
    actor: str
    key_id: str
    expires_at: datetime | None = None


def generate_key() -> str:
    """A new plaintext key: `hr_` and 43 url-safe characters (256 random bits)."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def shown_prefix(key: str) -> str:
    """The part of a key that may be shown and looked up by."""
    return key[:_SHOWN_LENGTH]


def digest(key: str, pepper: str) -> bytes:
    """HMAC-SHA256 of the key under the pepper: worthless to a reader of the database without the pepper."""
    return hmac.new(pepper.encode(), key.encode(), hashlib.sha256).digest()


def authenticate(session: Session, key: str, pepper: str, *, now: datetime | None = None) -> Principal | None:
    """Whom `key` speaks for; None when it is unknown, revoked or expired. Hashes are compared in constant time."""
    if not _KEY.fullmatch(key):
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
