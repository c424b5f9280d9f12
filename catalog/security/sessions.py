"""Sessions of the console: a cookie's token is valid for an API key until it expires, is ended, or its key is revoked.
A link that signs in is a session of another kind, which lasts two minutes and ends when it is used."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from headrace.catalog.models import ApiKey, ConsoleSession
from headrace.catalog.security.api_keys import ROLES, Principal, digest

LINK_LASTS = timedelta(minutes=2)
_TOKEN = re.compile(r"hrs_[A-Za-z0-9_-]{43}")
_LINK = re.compile(r"hrl_[A-Za-z0-9_-]{43}")
_PURPOSE = "console session: "
_LINK_PURPOSE = "console link: "
"""Sessions, links and API keys are hashed with the same pepper: no hash of one can be that of another."""


def is_token(text: str) -> bool:
    """Whether the text has the format of a session's token."""
    return _TOKEN.fullmatch(text) is not None


def begin(session: Session, principal: Principal, pepper: str, *, lasts: timedelta, now: datetime | None = None) -> str:
    """Stores a session of the principal's key, which ends at the latest when the key expires, and removes expired ones.
    Returns its token (`hrs_` and 43 url-safe characters), of which only a keyed hash is stored."""
    now = now or datetime.now(UTC)
    token = f"hrs_{secrets.token_urlsafe(32)}"
    ends = now + lasts if principal.expires_at is None else min(now + lasts, principal.expires_at)
    _store(session, principal, digest(_PURPOSE + token, pepper), ends, now)
    return token


def begin_link(session: Session, principal: Principal, pepper: str, *, now: datetime | None = None) -> str:
    """Stores a link of the principal's key, which can be used once within two minutes. Returns its token."""
    now = now or datetime.now(UTC)
    token = f"hrl_{secrets.token_urlsafe(32)}"
    _store(session, principal, digest(_LINK_PURPOSE + token, pepper), now + LINK_LASTS, now)
    return token


def use_link(session: Session, token: str, pepper: str, *, now: datetime | None = None) -> Principal | None:
    """Returns the principal of a link, which is used up; None if it is unknown, used, or expired, or if its key is not
    valid any more."""
    if _LINK.fullmatch(token) is None:
        return None
    hashed = digest(_LINK_PURPOSE + token, pepper)
    principal = _principal(session, hashed, now or datetime.now(UTC))
    used = delete(ConsoleSession).where(ConsoleSession.digest == hashed).returning(ConsoleSession.digest)
    # Of two requests with one link, one deletes it.
    return principal if session.execute(used).one_or_none() is not None else None


def _store(session: Session, principal: Principal, hashed: bytes, ends: datetime, now: datetime) -> None:
    session.execute(delete(ConsoleSession).where(ConsoleSession.expires_at <= now))
    session.add(
        ConsoleSession(
            digest=hashed,
            key_id=principal.key_id,
            tenant_id=principal.tenant_id,
            role=principal.role,
            expires_at=ends,
        )
    )
    session.flush()


def find(session: Session, token: str, pepper: str, *, now: datetime | None = None) -> Principal | None:
    """Returns the principal of a session; None if it is unknown or has ended, or if its key is revoked, has expired, or
    has another tenant or role than it had at the login."""
    if not is_token(token):
        return None
    return _principal(session, digest(_PURPOSE + token, pepper), now or datetime.now(UTC))


def _principal(session: Session, hashed: bytes, now: datetime) -> Principal | None:
    query = (
        select(ConsoleSession, ApiKey)
        .join(ApiKey, ApiKey.id == ConsoleSession.key_id)
        .where(
            ConsoleSession.digest == hashed,
            ConsoleSession.expires_at > now,
            ApiKey.revoked_at.is_(None),
            ApiKey.expires_at.is_(None) | (ApiKey.expires_at > now),
        )
    )
    found = session.execute(query).one_or_none()
    if found is None:
        return None
    begun, key = found
    if (begun.tenant_id, begun.role) != (key.tenant_id, key.role):
        return None
    role = next(each for each in ROLES if each == key.role)
    return Principal(key.tenant_id, role, key.name, key.id, begun.expires_at)


def end(session: Session, token: str, pepper: str) -> bool:
    """Ends a session; returns False if there is none."""
    gone = delete(ConsoleSession).where(ConsoleSession.digest == digest(_PURPOSE + token, pepper))
    return session.execute(gone.returning(ConsoleSession.digest)).one_or_none() is not None
