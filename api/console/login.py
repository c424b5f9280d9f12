"""Login with an API key or with a link that works once, and logout."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from headrace.api.console.guard import PublicPage, cookie_name, local_path, see_other, signed_in
from headrace.api.console.rendering import render
from headrace.api.context import Services, services_of
from headrace.api.requests.auth import (
    READ,
    admit,
    client_address,
    identify,
    principal_of,
    refuse_unauthenticated,
)
from headrace.catalog.audit.author import Author, writing_as
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.security.api_keys import Principal
from headrace.catalog.security.sessions import begin, begin_link, end, use_link

router = APIRouter(route_class=PublicPage, include_in_schema=False)
links = APIRouter(include_in_schema=False)
"""What programs ask for, with an API key."""

_BAD_KEY = "This key is not valid: it is unknown, was revoked, or has expired."
_BAD_LINK = "This link has been used, or is older than two minutes. The command headrace open makes another."

_Next = Annotated[str | None, Query(alias="next", max_length=2000)]


@router.get("/login", name="console_login")
async def show_login(request: Request, following: _Next = None) -> Response:
    """The form; whoever is logged in goes on at once."""
    if await signed_in(request) is not None:
        return see_other(local_path(following))
    return render(request, "login.html", title="Log in", following=local_path(following), problem="")


@router.post("/login", name="console_log_in")
async def log_in(
    request: Request,
    key: Annotated[str, Form(max_length=200)] = "",
    link: Annotated[str, Form(max_length=200)] = "",
    following: Annotated[str | None, Form(alias="next", max_length=2000)] = None,
) -> Response:
    """Begins a session with the key, in a cookie that scripts and other sites cannot use."""
    services = services_of(request)
    if services.settings.auth == "off":
        return see_other(local_path(following))
    if link:
        principal = await _by_link(request, link)
    else:
        principal = await principal_of(request, key.strip())
    if principal is None:
        problem = _BAD_LINK if link else _BAD_KEY
        shown = local_path(following)
        return render(request, "login.html", status_code=401, title="Log in", following=shown, problem=problem)
    lasts = timedelta(minutes=services.settings.console_session_minutes)
    author = Author(principal.key_id, principal.actor, request.state.request_id)
    with writing_as(author):
        token = await run_in_threadpool(_begun, services, principal, lasts)
    response = see_other(local_path(following))
    response.set_cookie(
        cookie_name(request),
        token,
        max_age=int(lasts.total_seconds()),
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


@links.post("/login/links", name="console_login_link")
async def make_link(request: Request) -> dict[str, str]:
    """The token of a link that signs a browser in once, within two minutes, for whoever sends the API key."""
    principal = await identify(request)
    services = services_of(request)
    if services.settings.auth == "off":
        return {"token": ""}
    admit(request, principal, READ)
    return {"token": await run_in_threadpool(_linked, services, principal)}


async def _by_link(request: Request, link: str) -> Principal | None:
    services, address = services_of(request), client_address(request)
    refuse_unauthenticated(services, address, counted=False)
    principal = await run_in_threadpool(_used, services, link)
    if principal is None:
        refuse_unauthenticated(services, address)
    return principal


def _linked(services: Services, principal: Principal) -> str:
    with Session(services.engine) as session, session.begin():
        return begin_link(session, principal, services.settings.pepper)


def _used(services: Services, link: str) -> Principal | None:
    with Session(services.engine) as session, session.begin():
        return use_link(session, link, services.settings.pepper)


@router.post("/logout", name="console_log_out")
async def log_out(request: Request) -> Response:
    """Ends the session, on the server too."""
    principal = await signed_in(request)
    services = services_of(request)
    token = getattr(request.state, "session_token", None)
    if principal is not None and token is not None:
        with writing_as(Author(principal.key_id, principal.actor, request.state.request_id)):
            await run_in_threadpool(_ended, services, principal, token)
    response = see_other("/login")
    response.delete_cookie(
        cookie_name(request), path="/", httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )
    return response


def _begun(services: Services, principal: Principal, lasts: timedelta) -> str:
    with Session(services.engine) as session, session.begin():
        token = begin(session, principal, services.settings.pepper, lasts=lasts)
        TenantCatalog(session, principal.tenant_id).audit.append("log_in", "key", principal.key_id, principal.actor)
    return token


def _ended(services: Services, principal: Principal, token: str) -> None:
    with Session(services.engine) as session, session.begin():
        if end(session, token, services.settings.pepper):
            catalog = TenantCatalog(session, principal.tenant_id)
            catalog.audit.append("log_out", "key", principal.key_id, principal.actor)
