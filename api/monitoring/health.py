"""`/healthz` and `/readyz`."""

from __future__ import annotations

from fastapi import APIRouter, Request

from headrace.api.context import services_of
from headrace.api.errors import RETRY_AFTER_S, ApiError, ErrorEnvelope

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:  # async: it must not wait for a thread
    """The process is running."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"model": ErrorEnvelope}})
async def readyz(request: Request) -> dict[str, str]:
    """The database is reachable and migrated, and Prefect is reachable; otherwise 503 with the causes in `details`.
    `worker` is the state of the worker: without one the API works, and runs wait."""
    services = services_of(request)
    found = await services.readiness.look(services.orchestrator)
    if found.problems:
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        raise ApiError(503, "Not ready", details=found.problems, headers=headers)
    return {"status": "ready", "database": "ok", "prefect": "ok", "worker": found.worker}
