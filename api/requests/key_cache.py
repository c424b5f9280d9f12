"""Cache of valid API keys, so that most requests need no query to authenticate."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from headrace.catalog.security.api_keys import Principal, authenticate, digest

_MAX_KEYS = 10_000


class KeyCache:
    """Valid keys, by their keyed hash. A revoked key is removed at once in this process and within `ttl_s` seconds in
    others; an expired key is refused from the moment it expires. Invalid keys are never cached.
    """

    def __init__(self, engine: Engine, pepper: str, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._pepper = pepper
        self._ttl_s = ttl_s
        self._clock = clock
        self._known: dict[bytes, tuple[float, Principal]] = {}

    def remembered(self, key: str) -> Principal | None:
        """The principal of `key` if it is cached and still valid, else None."""
        found = self._known.get(digest(key, self._pepper))
        if found is None:
            return None
        until, principal = found
        expired = principal.expires_at is not None and principal.expires_at <= datetime.now(UTC)
        return None if expired or self._clock() >= until else principal

    def known(self, key: str) -> bool:
        """Whether `key` was valid when it was last looked up, also if the entry is stale."""
        return digest(key, self._pepper) in self._known

    def look_up(self, key: str) -> Principal | None:
        """Reads the principal of `key` from the catalog and caches it; None when unknown, revoked or expired."""
        with Session(self._engine) as session, session.begin():
            principal = authenticate(session, key, self._pepper)
        hashed = digest(key, self._pepper)
        if principal is None:
            self._known.pop(hashed, None)
        else:
            if len(self._known) >= _MAX_KEYS:
                self._known.clear()
            self._known[hashed] = (self._clock() + self._ttl_s, principal)
        return principal

    def forget(self, key_id: str) -> None:
        """Removes the key with this id from the cache."""
        self._known = {each: known for each, known in self._known.items() if known[1].key_id != key_id}
