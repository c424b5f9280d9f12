"""What API keys can do: be issued, listed and revoked."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from api.api_keys.schemas import CreatedKey, CreateKey, KeyItem, KeyPage
from api.context import RequestContext
from api.errors import invalid, not_found
from api.pagination import PageRequest, page_of
from catalog.repositories.keys import NOT_REVOKED


def create_key(context: RequestContext, body: CreateKey) -> CreatedKey:
    """Issues a key of the tenant; 400 for one that has expired already."""
    if body.expires_at is not None and body.expires_at <= datetime.now(UTC):
        raise invalid("expiresAt", "in_the_past", "'expiresAt' has passed already", "give a time to come, or none")
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
    """The key is no longer valid: at once here, within seconds in other processes. 404 for one that is revoked."""
    with context.catalog() as catalog:
        if not catalog.keys.revoke(key_id, reason):
            raise not_found("API key")
    context.services.principals.forget(key_id)
