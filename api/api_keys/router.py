"""`/api-keys`."""

from __future__ import annotations

from headrace.api.api_keys import service
from headrace.api.api_keys.schemas import CreatedKey, CreateKey, KeyPage, RevokeKey
from headrace.api.context import Context
from headrace.api.pagination import Paged
from headrace.api.parameters import KeyIdQuery
from headrace.api.requests.auth import allow, guarded_router

router = guarded_router("api-keys")


@router.get("/api-keys", openapi_extra=allow("admin"))
def list_api_keys(context: Context, page: Paged) -> KeyPage:
    """The tenant's keys that are not revoked, newest first."""
    return service.list_keys(context, page)


@router.post("/api-keys", status_code=201, openapi_extra=allow("admin"))
def create_api_key(context: Context, body: CreateKey | None = None) -> CreatedKey:
    """Issues a key. Only this response contains the key itself."""
    return service.create_key(context, body or CreateKey())


@router.delete("/api-keys", status_code=204, openapi_extra=allow("admin"))
def revoke_api_key(
    context: Context,
    key_id: KeyIdQuery,
    body: RevokeKey | None = None,
) -> None:
    """Revokes a key permanently."""
    service.revoke_key(context, key_id, body.reason if body is not None else None)
