"""Receives a delivery: finds the webhook, checks who sent it, and stores it."""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime

import structlog
from fastapi import Request
from starlette.concurrency import run_in_threadpool

from headrace.api.context import Services, services_of
from headrace.api.errors import ApiError, not_found
from headrace.api.hooks.bodies import decompressed, kept_headers, key_of
from headrace.api.hooks.known import Hook
from headrace.api.hooks.schemas import HookReceipt
from headrace.api.hooks.signatures import refusal
from headrace.api.requests.auth import WRITE, client_address, identify, refuse_unauthenticated
from headrace.catalog.hooks.writing import Delivery, Outcome

_FULL_RETRY_S = 10
_KEYS_RETRY_S = 60


async def receive(request: Request, hook_id: str) -> HookReceipt:
    """Stores the body and returns when it is on disk. Raises ApiError: 400, 401, 403, 404, 409, 413, 415, 429, 503.

    Without a valid key or signature an id that is none is answered as a webhook for API keys is: 401.
    """
    services = services_of(request)
    hook = services.hooks.remembered(hook_id)
    if hook is None:
        if not services.hooks.ever_known(hook_id) and services.settings.auth == "on":
            refuse_unauthenticated(services, client_address(request), counted=False)
        hook = await run_in_threadpool(services.hooks.look_up, services, hook_id)
    if hook is None or hook.config.verify == "api_key":
        await _check_key(request, hook)
    assert hook is not None, "checked with the key"
    structlog.contextvars.bind_contextvars(tenant=hook.tenant_id, hook=hook.id)
    if hook.config.verify != "api_key":
        await _check_signature(request, services, hook)
    wait_s = services.hook_limiter.admit(hook.id)
    if wait_s:
        services.metrics.refused("hook_rate")
        message = f"The webhook has had its {services.settings.hook_rate_limit} requests of this minute"
        raise ApiError(429, message, headers={"Retry-After": str(wait_s)})
    tenant_id = hook.tenant_id
    request.state.ticket.assign_tenant(tenant_id, services.settings.limit("requests_per_tenant", tenant_id))
    delivery = await _delivery(request, services, hook)
    return _receipt(services, await services.hook_writer.put(hook, delivery))


async def _check_key(request: Request, hook: Hook | None) -> None:
    """Raises ApiError unless the request has a key of the webhook's tenant, with a role that may write."""
    principal = await identify(request)
    if principal.role not in WRITE:
        raise ApiError(403, f"The role {principal.role} may not do this")
    if hook is None or principal.tenant_id != hook.tenant_id:
        raise not_found("webhook")


async def _check_signature(request: Request, services: Services, hook: Hook) -> None:
    body = await request.body()
    reason = refusal(hook.config, hook.secrets, request.headers, body, time.time())
    if reason is not None:
        refuse_unauthenticated(services, client_address(request))
        services.metrics.refused("hook_signature")
        raise ApiError(401, reason, headers={"WWW-Authenticate": "Bearer"})


async def _delivery(request: Request, services: Services, hook: Hook) -> Delivery:
    body = await request.body()
    encoding = request.headers.get("content-encoding", "")
    body = decompressed(body, encoding, services.settings.max_body_bytes)
    if not body.strip():
        raise ApiError(400, "The body is empty")
    digest = hashlib.sha256(body).digest()
    key = key_of(hook.config, request.headers, body)
    key_hash = None if key is None else hashlib.sha256(key.encode()).digest() if key else digest
    headers = kept_headers(hook.config, request.headers)
    return Delivery(request.state.request_id, datetime.now(UTC), body, digest, key or None, key_hash, headers)


def _receipt(services: Services, outcome: Outcome) -> HookReceipt:
    if outcome.result in ("stored", "repeated"):
        return HookReceipt(id=f"rec_{outcome.seq}", repeated=outcome.result == "repeated")
    if outcome.result == "gone":
        raise not_found("webhook")
    if outcome.result == "other_body":
        raise ApiError(409, f"The idempotency key came before with another body, as rec_{outcome.seq}")
    services.metrics.refused(f"hook_{outcome.result}")
    settings = services.settings
    if outcome.result == "keys_full":
        message = f"{settings.max_hook_keys:,} idempotency keys are kept; shorten keepKeysHours"
        raise ApiError(429, message, headers={"Retry-After": str(_KEYS_RETRY_S)})
    most = f"{settings.max_hook_records:,} records or {settings.max_hook_bytes:,} bytes"
    raise ApiError(429, f"{most} wait to be loaded; send it again later", headers={"Retry-After": str(_FULL_RETRY_S)})
