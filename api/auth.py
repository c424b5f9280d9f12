"""Who may ask: API keys, roles per route, and the local demo's way without keys."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

import structlog
from fastapi import APIRouter, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.concurrency import run_in_threadpool

from api.actions import record_action
from api.body import check_body
from api.context import services_of
from api.errors import ApiError, invalid
from catalog.authorship import Author, writing_as
from catalog.bootstrap import ensure_tenant
from catalog.keys import ROLES, Principal, Role
from catalog.settings import Settings

READ: tuple[Role, ...] = ("admin", "editor", "viewer")
WRITE: tuple[Role, ...] = ("admin", "editor")

_TENANT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECURITY = (
    APIKeyHeader(name="X-API-Key", scheme_name="ApiKey", auto_error=False, description="A key of Headrace: `hr_…`"),
    HTTPBearer(scheme_name="Bearer", auto_error=False, description="The same key as a bearer token"),
)


def allow(*roles: Role) -> dict[str, Any]:
    """For a route's `openapi_extra`: the roles that may call it, enforced and documented from one list."""
    return {"x-roles": list(roles)}


class GuardedRoute(APIRoute):
    """A route that knows who asks before it reads the body: 401, 429, 403, 415, then what the body deserves.

    What a request changes is in the audit log in the name of who asked: the catalog's tables write it themselves, and
    for a route that leaves none of them changed (it cancels a run) the action is written down here.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wraps FastAPI's handler; a route that names no roles is a mistake, found when it is defined."""
        handler = super().get_route_handler()
        roles = (self.openapi_extra or {}).get("x-roles")
        if not roles:
            raise ValueError(f"{self.path} does not say which roles may call it")
        takes_body = self.body_field is not None
        writes = "GET" not in (self.methods or ()) and "viewer" not in roles

        async def guarded(request: Request) -> Response:
            principal = await identify(request)
            request.state.principal = principal
            known = {name.removesuffix("_id"): value for name, value in request.path_params.items()}
            structlog.contextvars.bind_contextvars(tenant=principal.tenant_id, **known)
            services = services_of(request)
            wait_s = services.limiter.admit(principal.key_id)
            if wait_s:
                message = f"The key has made its {services.settings.rate_limit} requests of this minute"
                raise ApiError(429, message, headers={"Retry-After": str(wait_s)})
            if principal.role not in roles:
                raise ApiError(403, f"The role {principal.role} may not do this")
            refuse_repeated(request)
            if takes_body and _has_body(request):
                if not _is_json(request):
                    raise ApiError(415, "The body must be JSON (Content-Type: application/json)")
                await check_body(request, max_depth=services.settings.max_body_depth)
            if not writes:
                return await handler(request)
            with writing_as(Author(principal.key_id, principal.actor, request.state.request_id)) as author:
                response = await handler(request)
                if response.status_code < 400 and not author.recorded:
                    await run_in_threadpool(record_action, request, principal, self.name)
                return response

        return guarded


def guarded_router(tag: str) -> APIRouter:
    """A router whose routes are all guarded."""
    return APIRouter(
        tags=[tag],
        route_class=GuardedRoute,
        dependencies=[Security(scheme) for scheme in _SECURITY],
    )


async def identify(request: Request) -> Principal:
    """Who asks. Raises ApiError 401 (no valid key) or 403 (a key of another tenant than the one named)."""
    services = services_of(request)
    if services.settings.auth == "off":
        return await run_in_threadpool(_local, request)
    key = _presented(request)
    principal = None
    if key is not None:
        principal = services.principals.remembered(key)
        if principal is None:
            principal = await run_in_threadpool(services.principals.look_up, key)
    if principal is None:
        message = "An API key is needed (X-API-Key)" if key is None else "The API key is not valid"
        raise ApiError(401, message, headers={"WWW-Authenticate": "Bearer"})
    if request.headers.get("X-Tenant-Id", principal.tenant_id) != principal.tenant_id:
        raise ApiError(403, "The API key belongs to another tenant")
    return principal


def refuse_repeated(request: Request) -> None:
    """Raises ApiError 400 for a query parameter that is given twice: whichever is taken, somebody meant the other."""
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name in seen:
            raise invalid(name, "repeated_parameter", f"'{name}' is given more than once")
        seen.add(name)


def refuse_open_doors(settings: Settings) -> None:
    """Raises ValueError when authentication is off and the facade is not bound to loopback."""
    if settings.auth == "off" and not _is_loopback(settings.host):
        raise ValueError(f"HEADRACE_AUTH=off is for loopback only, and HEADRACE_HOST is {settings.host}")


def _presented(request: Request) -> str | None:
    key = request.headers.get("X-API-Key")
    if key is not None:
        return key
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _local(request: Request) -> Principal:
    # the socket may be bound elsewhere than the settings say, and a browser may be lured here by a foreign page
    server = (request.scope.get("server") or ("",))[0]
    origin = request.headers.get("Origin")
    hosts = [server, request.url.hostname or "", *([urlsplit(origin).hostname or ""] if origin else [])]
    if not all(_is_loopback(host) for host in hosts):
        raise ApiError(403, "Authentication is off: only requests from this machine are answered")
    tenant_id, role = request.headers.get("X-Tenant-Id", "default"), request.headers.get("X-User-Role", "admin")
    known = next((each for each in ROLES if each == role), None)
    if known is None or not _TENANT_ID.fullmatch(tenant_id):
        raise ApiError(403, "X-Tenant-Id or X-User-Role names nothing that exists")
    ensure_tenant(services_of(request).engine, tenant_id)
    return Principal(tenant_id, known, "local", f"local:{tenant_id}")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


def _is_json(request: Request) -> bool:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))
