"""`/metrics`, for Prometheus."""

from __future__ import annotations

import hmac

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.context import services_of
from api.errors import ApiError, ErrorEnvelope

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus text format"},
        401: {"model": ErrorEnvelope},
        404: {"model": ErrorEnvelope},
    },
)
def metrics(request: Request) -> Response:
    """Metrics in Prometheus' format; settings may take them away, or ask for a bearer token."""
    settings = services_of(request).settings
    if settings.metrics == "off":
        raise ApiError(404, "There is nothing here")
    if settings.metrics_token is not None:
        wanted = f"Bearer {settings.metrics_token.get_secret_value()}"
        if not hmac.compare_digest(request.headers.get("Authorization", "").encode(), wanted.encode()):
            raise ApiError(401, "The metrics need their token", headers={"WWW-Authenticate": "Bearer"})
    registry = services_of(request).metrics.registry
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
