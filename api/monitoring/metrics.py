"""`/metrics`, for Prometheus."""

from __future__ import annotations

import hmac

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from headrace.api.context import services_of
from headrace.api.errors import ApiError, ErrorEnvelope
from headrace.api.requests.auth import client_address, refuse_unauthenticated

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus text format"},
        401: {"model": ErrorEnvelope},
        404: {"model": ErrorEnvelope},
        429: {"model": ErrorEnvelope},
    },
)
async def metrics(request: Request) -> Response:
    """Metrics in Prometheus' format; settings can turn them off or require a bearer token."""
    settings = services_of(request).settings
    if settings.metrics == "off":
        raise ApiError(404, "There is nothing here")
    if settings.metrics_token is not None:
        wanted = f"Bearer {settings.metrics_token.get_secret_value()}"
        if not hmac.compare_digest(request.headers.get("Authorization", "").encode(), wanted.encode()):
            refuse_unauthenticated(services_of(request), client_address(request))
            raise ApiError(401, "The metrics need their token", headers={"WWW-Authenticate": "Bearer"})
    text = await services_of(request).metrics.exposed()
    return Response(text, media_type=CONTENT_TYPE_LATEST)
