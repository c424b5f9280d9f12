"""`/keys`: the tenant's API keys: issue, list, revoke. A key is shown once, in the response that makes it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Form, Query, Request, Response

from headrace.api.api_keys import service
from headrace.api.api_keys.schemas import CreatedKey, CreateKey
from headrace.api.console.guard import done_by, pages, see_other, seen_by
from headrace.api.console.pipeline import validated
from headrace.api.console.rendering import render
from headrace.api.context import Context, RequestContext
from headrace.api.errors import ApiError
from headrace.api.pagination import PageRequest, page_request
from headrace.catalog.security.api_keys import ROLES

router = pages()

PAGE = 50


async def _page(cursor: Annotated[str | None, Query(max_length=400)] = None) -> PageRequest:
    return await page_request(PAGE, cursor)


@router.get("/keys", name="console_keys", openapi_extra=seen_by("admin"))
def show_keys(request: Request, context: Context, page: Annotated[PageRequest, Depends(_page)]) -> Response:
    """The keys that are not revoked, newest first."""
    return _shown(request, context, page)


@router.post("/keys", name="console_create_key", openapi_extra=done_by("admin", action="create_api_key"))
def create(
    request: Request,
    context: Context,
    name: Annotated[str, Form(max_length=1000)] = "",
    role: Annotated[str, Form(max_length=20)] = "viewer",
    expires: Annotated[str, Form(max_length=10)] = "",
) -> Response:
    """Issues a key, and shows it: there is no other response that has it, so this one does not lead on."""
    end = f"{expires}T00:00:00Z" if expires else None
    first = PageRequest(PAGE, None)
    try:
        body = validated(CreateKey, {"name": name.strip() or None, "role": role, "expiresAt": end})
        made = service.create_key(context, body)
    except ApiError as error:
        if error.status_code != 400:
            raise
        return _shown(request, context, first, problem=str(error.detail), status=400)
    return _shown(request, context, first, made=made, status=201)


@router.post("/keys/revoke", name="console_revoke_key", openapi_extra=done_by("admin", action="revoke_api_key"))
def revoke(
    context: Context,
    key_id: Annotated[str, Form(alias="id", max_length=200)],
    reason: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """Revokes a key for good; sessions that began with it end."""
    service.revoke_key(context, key_id, reason.strip() or None)
    return see_other("/keys")


def _shown(
    request: Request,
    context: RequestContext,
    page: PageRequest,
    *,
    made: CreatedKey | None = None,
    problem: str = "",
    status: int = 200,
) -> Response:
    return render(
        request,
        "keys.html",
        status_code=status,
        title="Keys",
        found=service.list_keys(context, page),
        first=page.after is None,
        made=made,
        problem=problem,
        roles=ROLES,
        own=context.principal.key_id,
    )
