"""Operations on API keys: issue, list, revoke."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from headrace.api.api_keys.schemas import CreatedKey, CreateKey, KeyItem, KeyPage
from headrace.api.context import RequestContext
from headrace.api.errors import invalid, not_found
from headrace.api.pagination import PageRequest, page_of
from headrace.catalog.repositories.api_keys import NOT_REVOKED


def create_key(context: RequestContext, body: CreateKey) -> CreatedKey:
    """Issues a key of the tenant. Raises ApiError 400 if `expiresAt` is in the past."""
    if body.expires_at is not None and body.expires_at <= datetime.now(UTC):
        raise invalid("expiresAt", "in_the_past", "'expiresAt' is in the past", "give a time in the future, or none")
    with context.catalog() as catalog:
        name = body.name or f"key-{time.time_ns() // 1_000_000}"
        issued, key = catalog.keys.issue(
            name=name, role=body.role, pepper=context.key_pepper, expires_at=body.expires_at
        )
        return CreatedKey(
            id=issued.id,
            name=issued.name,
            role=body.role,
            key=key,
            prefix=issued.prefix,
            expires_at=issued.expires_at,
            created_at=issued.created_at,
        )


def list_keys(context: RequestContext, request: PageRequest) -> KeyPage:
    """A page of the tenant's keys that are not revoked, newest first."""
    with context.catalog() as catalog:
        page = catalog.keys.page(limit=request.limit, after=request.after, where=[NOT_REVOKED])
        shown = page_of(page, request, KeyItem.model_validate)
        return KeyPage(data=shown.data, pagination=shown.pagination, total=page.total)


def revoke_key(context: RequestContext, key_id: str, reason: str | None) -> None:
    """Revokes a key: at once in this process, within seconds in others. Errors: 404, also if already revoked."""
    with context.catalog() as catalog:
        if not catalog.keys.revoke(key_id, reason):
            raise not_found("API key")
    context.services.key_cache.forget(key_id)
