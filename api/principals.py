"""Whom keys speak for, remembered for a few seconds: most requests need no query to know who asks."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from catalog.keys import Principal, authenticate, digest

_MANY_KEYS = 10_000


class Principals:
    """Valid keys, by their keyed hash. A revoked key is forgotten at once here, within `ttl_s` seconds by the other
    processes; an expired one at its second. Keys that are not valid are never remembered.
    """

    def __init__(self, engine: Engine, pepper: str, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._pepper = pepper
        self._ttl_s = ttl_s
        self._clock = clock
        self._known: dict[bytes, tuple[float, Principal]] = {}

    def remembered(self, key: str) -> Principal | None:
        """Whom `key` speaks for, if it was looked up a moment ago."""
        found = self._known.get(digest(key, self._pepper))
        if found is None:
            return None
        until, principal = found
        expired = principal.expires_at is not None and principal.expires_at <= datetime.now(UTC)
        return None if expired or self._clock() >= until else principal

    def look_up(self, key: str) -> Principal | None:
        """Whom `key` speaks for according to the catalog; None when it is unknown, revoked or expired."""
        with Session(self._engine) as session, session.begin():
            principal = authenticate(session, key, self._pepper)
        if principal is not None and self._ttl_s:
            if len(self._known) >= _MANY_KEYS:
                self._known.clear()
            self._known[digest(key, self._pepper)] = (self._clock() + self._ttl_s, principal)
        return principal

    def forget(self, key_id: str) -> None:
        """Believes the key of that id no more without asking."""
        self._known = {each: known for each, known in self._known.items() if known[1].key_id != key_id}
