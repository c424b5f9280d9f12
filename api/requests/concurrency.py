"""Limits on concurrent requests and event streams, in total and per tenant or key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from headrace.api.errors import ApiError
from headrace.catalog.security.api_keys import Principal

_RETRY_SOON_S = 1
"""`Retry-After` in seconds: other requests end soon."""


class RequestSlot:
    """One request in progress."""

    def __init__(self, admission: RequestSlots) -> None:
        self._admission = admission
        self._tenant_id: str | None = None
        self._left = False

    def assign_tenant(self, tenant_id: str, most: int) -> None:
        """Counts the request for a tenant, once. Raises ApiError 429 when the tenant has `most` in progress."""
        if not self._left and self._tenant_id is None:
            self._admission.of_tenant(tenant_id, most)
            self._tenant_id = tenant_id

    def leave(self) -> None:
        """Releases it, once: the request has ended, or continues as an event stream, which has its own limit."""
        if not self._left:
            self._left = True
            self._admission.left(self._tenant_id)


class RequestSlots:
    """Counts requests in progress. For use in one event loop only."""

    def __init__(self, most: int, *, refused: Callable[[str], None]) -> None:
        self._most, self._refused = most, refused
        self._now = 0
        self._by_tenant: Counter[str] = Counter()

    def enter(self) -> RequestSlot:
        """Counts a new request. Raises ApiError 503 when the limit is reached."""
        if self._now >= self._most:
            self._refused("requests")
            headers = {"Retry-After": str(_RETRY_SOON_S)}
            raise ApiError(503, f"{self._most} requests are being answered; try again in a moment", headers=headers)
        self._now += 1
        return RequestSlot(self)

    def of_tenant(self, tenant_id: str, most: int) -> None:
        """Counts a request of the tenant. Raises ApiError 429 when it has `most` in progress."""
        if self._by_tenant[tenant_id] >= most:
            self._refused("tenant_requests")
            headers = {"Retry-After": str(_RETRY_SOON_S)}
            raise ApiError(429, f"The tenant has {most} requests under way; try again in a moment", headers=headers)
        self._by_tenant[tenant_id] += 1

    def under_way(self, tenant_id: str) -> int:
        """The tenant's requests in progress."""
        return self._by_tenant.get(tenant_id, 0)

    def left(self, tenant_id: str | None) -> None:
        """Releases a request, of the tenant if it was counted for one."""
        self._now -= 1
        if tenant_id is not None:
            self._by_tenant[tenant_id] -= 1
            if not self._by_tenant[tenant_id]:
                del self._by_tenant[tenant_id]


_RETRY_AFTER_S = 5


class StreamSlots:
    """Counts the streams of this process. For use in one event loop only."""

    def __init__(self, in_all: int) -> None:
        self._in_all = in_all
        self._open: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def taken(self, principal: Principal, *, by_tenant: int, by_key: int) -> Iterator[None]:
        """Holds a slot while entered. Raises ApiError 429 at the key's or tenant's limit, 503 at the total limit."""
        tenant, key = ("tenant", principal.tenant_id), ("key", principal.key_id)
        if self._open[key] >= by_key:
            raise _too_many(429, f"The key has {by_key} streams of events open")
        if self._open[tenant] >= by_tenant:
            raise _too_many(429, f"The tenant has {by_tenant} streams of events open")
        if self._open[_ALL] >= self._in_all:
            raise _too_many(503, f"{self._in_all} streams of events are open")
        kinds = (tenant, key, _ALL)
        self._open.update(kinds)
        try:
            yield
        finally:
            for kind in kinds:
                self._open[kind] -= 1
                if not self._open[kind]:
                    del self._open[kind]


_ALL = ("all", "")


def _too_many(status: int, message: str) -> ApiError:
    headers = {"Retry-After": str(_RETRY_AFTER_S)}
    return ApiError(status, f"{message}; close one, or ask for /progress instead", headers=headers)
