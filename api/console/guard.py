"""Who may see a page: sessions in a cookie, roles, and requests of other sites, which are refused."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse

from headrace.api.console.rendering import HEADERS, error_page, render
from headrace.api.context import Services, services_of
from headrace.api.errors import ApiError
from headrace.api.requests.auth import (
    admit,
    client_address,
    local_principal,
    record_action,
    refuse_unauthenticated,
)
from headrace.catalog.audit.author import Author, writing_as
from headrace.catalog.security.api_keys import Principal, Role
from headrace.catalog.security.sessions import find, is_token
from headrace.ir.parsing.storable_text import is_storable, unstorable

_SAFE = ("GET", "HEAD")
_MAX_FIELDS = 2000
"""A form for the columns of a table has several fields for each."""


def seen_by(*roles: Role) -> dict[str, Any]:
    """For a route's `openapi_extra`: the roles that may see the page."""
    return {"x-roles": list(roles)}


def done_by(*roles: Role, action: str) -> dict[str, Any]:
    """The same for a route that changes something; `action` is its name in the audit log, as REST has it."""
    return {"x-roles": list(roles), "x-action": action}


def asked_by(*roles: Role) -> dict[str, Any]:
    """The same for a route that changes nothing, but takes a form because of the length of what it is asked about."""
    return {"x-roles": list(roles), "x-asks": True}


def uploaded_by(*roles: Role, action: str) -> dict[str, Any]:
    """The same as `done_by` for a route that reads a file from the body itself."""
    return {**done_by(*roles, action=action), "x-file": True}


class PublicPage(APIRoute):
    """A route of the console for everybody; its errors are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wraps FastAPI's handler."""
        handler = super().get_route_handler()

        async def public(request: Request) -> Response:
            request.state.error_page = error_page
            if request.method not in _SAFE:
                refuse_other_sites(request)
                await _check_form(request)
            return await handler(request)

        return public


class GuardedPage(APIRoute):
    """A route of the console for callers with a session, whose errors are pages. What it changes is recorded in the
    audit log with the session's key as author, as `api.requests.auth.GuardedRoute` does it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wraps FastAPI's handler. Raises ValueError for a route without roles, or that changes something without an
        action."""
        handler = super().get_route_handler()
        extra = self.openapi_extra or {}
        roles, action = extra.get("x-roles"), extra.get("x-action")
        reads = set(self.methods or ()) <= set(_SAFE)
        if not roles or (reads or bool(extra.get("x-asks"))) != (action is None):
            raise ValueError(f"{self.path} does not say which roles may do what")

        async def guarded(request: Request) -> Response:
            request.state.error_page = error_page
            if not reads:
                refuse_other_sites(request)
            principal = await signed_in(request)
            if principal is None:
                return to_login(request)
            admit(request, principal, roles)
            if not reads and not extra.get("x-file"):
                await _check_form(request)
            if action is None:
                return await handler(request)
            with writing_as(Author(principal.key_id, principal.actor, request.state.request_id)) as author:
                response = await handler(request)
                if response.status_code < 400 and not author.recorded:
                    await run_in_threadpool(record_action, request, principal, action)
                return response

        return guarded


def pages() -> APIRouter:
    """A router whose routes are GuardedPages."""
    return APIRouter(route_class=GuardedPage, include_in_schema=False)


async def signed_in(request: Request) -> Principal | None:
    """The principal of the request's session; None without one that is valid. While authentication is off, it is the
    one of REST. Raises ApiError 429 when too many invalid ones came from the address."""
    services = services_of(request)
    if services.settings.auth == "off":
        return await run_in_threadpool(local_principal, request)
    token = request.cookies.get(cookie_name(request), "")
    if not is_token(token):
        return None
    address = client_address(request)
    refuse_unauthenticated(services, address, counted=False)
    principal = await run_in_threadpool(_found, services, token)
    if principal is None:
        refuse_unauthenticated(services, address)
        return None
    request.state.session_token = token
    return principal


async def recognise(request: Request) -> None:
    """Makes the request one of the caller who is logged in, for a page that everybody may see. Without a session that
    can be found, it stays one of nobody."""
    with suppress(ApiError, SQLAlchemyError):
        request.state.principal = await signed_in(request)


def session_is_valid(services: Services, token: str | None) -> bool:
    """Whether the session has not ended meanwhile; without a token, authentication is off."""
    return token is None or _found(services, token) is not None


def _found(services: Services, token: str) -> Principal | None:
    with Session(services.engine.execution_options(isolation_level="AUTOCOMMIT")) as session:
        return find(session, token, services.settings.pepper)


def cookie_name(request: Request) -> str:
    """The name of the session's cookie. Browsers send cookies to all ports of a host: two servers on one machine have
    different names, so that a login to one does not end that to the other."""
    port = request.url.port
    return "headrace_session" if port is None else f"headrace_session_{port}"


def refuse_other_sites(request: Request) -> None:
    """Raises ApiError 403 unless the browser says that the request comes from a page of this origin. A request without
    either header is not from a browser that sends cookies, so it needs none either: it is refused too."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    own = origin is not None and urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()
    same = site == "same-origin" if site is not None else own
    if not same or (origin is not None and not own):
        raise ApiError(403, "This was not sent by a page of the console, so nothing was done")


def local_path(given: str | None) -> str:
    """The path to go on to after a login: `given` if it is a path of this server, else `/`."""
    if not given or not given.startswith("/") or given.startswith("//") or not given.isprintable() or "\\" in given:
        return "/"
    parts = urlsplit(given)
    return given if not parts.scheme and not parts.netloc else "/"


def to_login(request: Request) -> Response:
    """The response to a request without a session: the login, which leads back to the page that was asked for."""
    if "HX-Request" in request.headers:
        return Response(status_code=401, headers={**HEADERS, "HX-Redirect": "/login"})
    if request.method not in _SAFE or "text/event-stream" in request.headers.get("accept", ""):
        raise ApiError(401, "You are not logged in, or not any more: log in, then try again")
    if request.headers.get("sec-fetch-site") == "cross-site":
        # The cookie is not sent along with a link of another site: the page is asked for once more, by itself.
        return render(request, "again.html", title="One moment")
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?next={quote(path, safe='/')}", 303, headers=dict(HEADERS))


def see_other(path: str, headers: Mapping[str, str] | None = None) -> Response:
    """The response to a form that was done: the browser goes on to `path`."""
    return RedirectResponse(path, 303, headers={**HEADERS, **(headers or {})})


async def _check_form(request: Request) -> None:
    """Raises ApiError 400 for a form with a field that is given twice, a file, or text that cannot be stored."""
    form = await request.form(max_files=0, max_fields=_MAX_FIELDS)
    seen: set[str] = set()
    for name, text in form.multi_items():
        if name in seen:
            raise ApiError(400, f"'{name}' is given more than once")
        seen.add(name)
        if not isinstance(text, str) or not is_storable(name + text):
            problem = unstorable(name if is_storable(name) else "form")
            raise ApiError(400, problem.message, details=[problem])


def plain(content: str) -> HTMLResponse:
    """A part of a page (`rendering.fragment`) as a response."""
    return HTMLResponse(content, headers=dict(HEADERS))
