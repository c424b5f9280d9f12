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
from fastapi.security import APIKeyHeader
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from api.context import services_of
from api.errors import ERROR_RESPONSES, ApiError
from catalog.bootstrap import ensure_tenant
from catalog.keys import ROLES, Principal, Role, authenticate
from catalog.settings import Settings

READ: tuple[Role, ...] = ("admin", "editor", "viewer")
WRITE: tuple[Role, ...] = ("admin", "editor")

_TENANT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_KEY_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, description="Or `Authorization: Bearer hr_…`")


def allow(*roles: Role) -> dict[str, Any]:
    """For a route's `openapi_extra`: the roles that may call it, enforced and documented from one list."""
    return {"x-roles": list(roles)}


class GuardedRoute(APIRoute):
    """A route that knows who asks before it reads the body: 401, then 403, then 415, then what the body deserves."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wraps FastAPI's handler; a route that names no roles is a mistake, found when it is defined."""
        handler = super().get_route_handler()
        roles = (self.openapi_extra or {}).get("x-roles")
        if not roles:
            raise ValueError(f"{self.path} does not say which roles may call it")
        takes_body = self.body_field is not None

        async def guarded(request: Request) -> Response:
            principal = await run_in_threadpool(identify, request)
            request.state.principal = principal
            structlog.contextvars.bind_contextvars(tenant=principal.tenant_id)
            if principal.role not in roles:
                raise ApiError(403, f"The role {principal.role} may not do this")
            if takes_body and _has_body(request) and not _is_json(request):
                raise ApiError(415, "The body must be JSON (Content-Type: application/json)")
            return await handler(request)

        return guarded


def guarded_router(tag: str) -> APIRouter:
    """A router whose routes are all guarded."""
    return APIRouter(
        tags=[tag], route_class=GuardedRoute, dependencies=[Security(_KEY_HEADER)], responses=ERROR_RESPONSES
    )


def identify(request: Request) -> Principal:
    """Who asks. Raises ApiError 401 (no valid key) or 403 (a key of another tenant than the one named)."""
    services = services_of(request)
    if services.settings.auth == "off":
        return _local(request)
    key = _presented(request)
    principal = None
    if key is not None:
        with Session(services.engine) as session, session.begin():
            principal = authenticate(session, key, services.settings.key_pepper.get_secret_value())
    if principal is None:
        message = "An API key is needed (X-API-Key)" if key is None else "The API key is not valid"
        raise ApiError(401, message, headers={"WWW-Authenticate": "Bearer"})
    if request.headers.get("X-Tenant-Id", principal.tenant_id) != principal.tenant_id:
        raise ApiError(403, "The API key belongs to another tenant")
    return principal


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
    return Principal(tenant_id, known, "local")


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
