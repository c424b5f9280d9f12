"""`/hooks`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response, Security

from headrace.api.hooks import service
from headrace.api.hooks.schemas import HookReceipt
from headrace.api.parameters import HookIdPath
from headrace.api.requests.auth import SECURITY, WRITE, allow

router = APIRouter(tags=["connectors"], dependencies=[Security(scheme) for scheme in SECURITY])

_BODY: dict[str, Any] = {
    "required": True,
    "description": "Anything, as the source nodes that read it expect; `Content-Encoding: gzip` is understood.",
    "content": {
        "application/json": {"schema": {}, "example": {"id": 1, "amount": "9.99"}},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    },
}


@router.post(
    "/hooks/{hook_id}",
    status_code=202,
    responses={200: {"model": HookReceipt, "description": "A request with this idempotency key came before"}},
    openapi_extra=allow(*WRITE, recorded=False) | {"requestBody": _BODY},
)
async def receive_hook(request: Request, response: Response, hook_id: HookIdPath) -> HookReceipt:
    """Stores a record for the connector `hook_id` of type `webhook`, and answers when it is on disk. An API key, or
    what the connector's `verify` demands instead of it, has to come with the request."""
    receipt = await service.receive(request, hook_id)
    response.status_code = 200 if receipt.repeated else 202
    return receipt
