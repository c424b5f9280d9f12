"""Authentication and authorization: API keys, roles per route, audit of actions, access without keys on loopback."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from headrace.api.context import Services, services_of
from headrace.api.errors import ApiError, invalid
from headrace.api.requests.body import check_body
from headrace.api.requests.host_check import is_loopback
from headrace.api.requests.rate_limit import address_key
from headrace.catalog.audit.author import Author, writing_as
from headrace.catalog.bootstrap import TENANT_ID, ensure_tenant
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.security.api_keys import ROLES, Principal, Role, is_key
from headrace.catalog.settings import Settings
from headrace.ir.parsing.storable_text import is_storable, unstorable


def record_action(request: Request, principal: Principal, action: str) -> None:
    """Appends `action` (the name of a route) to the audit log, with the last object id in the path as its entity."""
    named = [(name.removesuffix("_id"), value) for name, value in request.path_params.items()]
    entity_type, entity_id = named[-1] if named else ("tenant", principal.tenant_id)
    with Session(services_of(request).engine) as session, session.begin():
        TenantCatalog(session, principal.tenant_id).audit.append(action, entity_type, entity_id)


READ: tuple[Role, ...] = ("admin", "editor", "viewer")
WRITE: tuple[Role, ...] = ("admin", "editor")

_REPORT_UNSTORABLE_TEXT = {"validate_ir"}
"""Operations that store nothing and report unstorable text in their response instead of refusing the body."""

SECURITY = (
    APIKeyHeader(name="X-API-Key", scheme_name="ApiKey", auto_error=False, description="A key of Headrace: `hr_…`"),
    HTTPBearer(scheme_name="Bearer", auto_error=False, description="The same key as a bearer token"),
)
"""The security schemes of the OpenAPI document."""


def allow(*roles: Role, recorded: bool = True) -> dict[str, Any]:
    """For a route's `openapi_extra`: the roles that may call it, both enforced and documented.

    Calls of routes for writers are recorded in the audit log, unless `recorded` is false because they change nothing.
    """
    return {"x-roles": list(roles)} | ({} if recorded else {"x-recorded": False})


class GuardedRoute(APIRoute):
    """A route that authenticates before it reads the body: 401, 429, 403, 415, then errors of the body.

    Writes are recorded in the audit log with the caller as author: triggers on the catalog's tables record changed
    rows; an action that changes none of them (such as cancelling a run) is recorded here.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wraps FastAPI's handler. Raises ValueError for a route without roles."""
        handler = super().get_route_handler()
        roles = (self.openapi_extra or {}).get("x-roles")
        if not roles:
            raise ValueError(f"{self.path} does not say which roles may call it")
        takes_body = self.body_field is not None
        writes = "GET" not in (self.methods or ()) and "viewer" not in roles
        writes = writes and (self.openapi_extra or {}).get("x-recorded", True)

        async def guarded(request: Request) -> Response:
            principal = await identify(request)
            admit(request, principal, roles)
            services = services_of(request)
            if takes_body and _has_body(request):
                if not _is_json(request):
                    raise ApiError(415, "The body must be JSON (Content-Type: application/json)")
                stores_text = self.name in _REPORT_UNSTORABLE_TEXT
                await check_body(request, max_depth=services.settings.max_body_depth, texts=not stores_text)
            if not writes:
                return await handler(request)
            with writing_as(Author(principal.key_id, principal.actor, request.state.request_id)) as author:
                response = await handler(request)
                if response.status_code < 400 and not author.recorded:
                    await run_in_threadpool(record_action, request, principal, self.name)
                return response

        return guarded


def admit(request: Request, principal: Principal, roles: Collection[Role]) -> None:
    """Makes the request one of the principal. Raises ApiError: 429 above its limits, 403 for a role that is not among
    `roles`, 400 for its query."""
    request.state.principal = principal
    known = {name.removesuffix("_id"): value for name, value in request.path_params.items()}
    structlog.contextvars.bind_contextvars(tenant=principal.tenant_id, **known)
    services = services_of(request)
    wait_s = services.limiter.admit(principal.key_id)
    if wait_s:
        services.metrics.refused("rate")
        message = f"The key has made its {services.settings.rate_limit} requests of this minute"
        raise ApiError(429, message, headers={"Retry-After": str(wait_s)})
    tenant_id = principal.tenant_id
    request.state.ticket.assign_tenant(tenant_id, services.settings.limit("requests_per_tenant", tenant_id))
    if principal.role not in roles:
        raise ApiError(403, f"The role {principal.role} may not do this")
    check_query(request)


def guarded_router(tag: str) -> APIRouter:
    """A router whose routes are GuardedRoutes."""
    return APIRouter(
        tags=[tag],
        route_class=GuardedRoute,
        dependencies=[Security(scheme) for scheme in SECURITY],
    )


async def identify(request: Request) -> Principal:
    """Authenticates the request. Raises ApiError 401 without a valid key, 403 when X-Tenant-Id is another tenant."""
    services = services_of(request)
    if services.settings.auth == "off":
        return await run_in_threadpool(local_principal, request)
    key = _presented_key(request)
    principal = None if key is None else await principal_of(request, key)
    if principal is None:
        if key is None:
            refuse_unauthenticated(services, client_address(request))
        message = "An API key is needed (X-API-Key)" if key is None else "The API key is not valid"
        raise ApiError(401, message, headers={"WWW-Authenticate": "Bearer"})
    if request.headers.get("X-Tenant-Id", principal.tenant_id) != principal.tenant_id:
        raise ApiError(403, "The API key belongs to another tenant")
    return principal


async def principal_of(request: Request, key: str) -> Principal | None:
    """The principal of an API key; None if it is not valid, which counts for the client's address. Raises ApiError
    429."""
    services = services_of(request)
    principal = services.key_cache.remembered(key)
    if principal is not None:
        return principal
    address = client_address(request)
    # A key that was valid before is looked up even when others at the same address have used up its limit.
    if not services.key_cache.known(key):
        refuse_unauthenticated(services, address, counted=False)
    if is_key(key):
        principal = await run_in_threadpool(services.key_cache.look_up, key)
    if principal is None:
        refuse_unauthenticated(services, address)
    return principal


def client_address(request: Request) -> str:
    """The address that requests without a key are counted for: the client's, or the one a trusted proxy reports."""
    return address_key(request.client.host if request.client is not None else "")


def refuse_unauthenticated(services: Services, address: str, *, counted: bool = True) -> None:
    """Raises ApiError 429 when the address has sent too many requests without a valid key within a minute."""
    limiter = services.unauthenticated
    wait_s = limiter.admit(address) if counted else limiter.wait(address)
    if wait_s:
        services.metrics.refused("unauthenticated")
        message = "Too many requests without a valid key have come from this address"
        raise ApiError(429, message, headers={"Retry-After": str(wait_s)})


def check_query(request: Request) -> None:
    """Raises ApiError 400 for a query parameter that is given twice, as either value may be meant, and for one with
    text that PostgreSQL cannot store."""
    seen: set[str] = set()
    for name, text in request.query_params.multi_items():
        if not is_storable(name + text):
            problem = unstorable(name if is_storable(name) else "query")
            raise ApiError(400, problem.message, details=[problem])
        if name in seen:
            raise invalid(name, "repeated_parameter", f"'{name}' is given more than once")
        seen.add(name)


def require_loopback_without_auth(settings: Settings) -> None:
    """Raises ValueError when authentication is off and the configured host is not loopback."""
    if settings.auth == "off" and not is_loopback(settings.host):
        raise ValueError(f"HEADRACE_AUTH=off is for loopback only, and HEADRACE_HOST is {settings.host}")


def _presented_key(request: Request) -> str | None:
    key = request.headers.get("X-API-Key")
    if key is not None:
        return key
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def local_principal(request: Request) -> Principal:
    """The principal of a request while authentication is off. Raises ApiError 403 for headers that are not valid."""
    tenant_id, role = request.headers.get("X-Tenant-Id", "default"), request.headers.get("X-User-Role", "admin")
    known = next((each for each in ROLES if each == role), None)
    if known is None or not TENANT_ID.fullmatch(tenant_id):
        raise ApiError(403, "X-Tenant-Id or X-User-Role is not valid")
    ensure_tenant(services_of(request).engine, tenant_id)
    return Principal(tenant_id, known, "local", f"local:{tenant_id}")


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


def _is_json(request: Request) -> bool:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))
