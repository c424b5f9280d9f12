"""Whether the facade lives, and whether it can work."""

from __future__ import annotations

from fastapi import APIRouter, Request
from sqlalchemy.exc import SQLAlchemyError

from api.context import services_of
from api.errors import RETRY_AFTER_S, ApiError, ErrorEnvelope
from catalog.engine import current_of, head
from ir.problems import Problem

router = APIRouter(tags=["health"])


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"model": ErrorEnvelope}})
def readyz(request: Request) -> dict[str, str]:
    """The database is there and migrated, and Prefect answers; otherwise 503 and `details` say which is not."""
    services = services_of(request)
    problems = []
    try:
        if current_of(services.engine) != head():
            hint = "run: headrace db upgrade"
            problems.append(Problem("database", "not_migrated", "The database is not at the newest migration", hint))
    except SQLAlchemyError:
        problems.append(Problem("database", "away", "The database cannot be reached"))
    if not services.orchestrator.healthy():
        problems.append(Problem("prefect", "away", "Prefect cannot be reached"))
    if problems:
        raise ApiError(503, "Not ready", details=problems, headers={"Retry-After": str(RETRY_AFTER_S)})
    return {"status": "ready", "database": "ok", "prefect": "ok"}
