"""The application: `uvicorn api.app:create_app --factory`."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

import structlog
from fastapi import FastAPI
from sqlalchemy import Engine
from starlette.middleware.cors import CORSMiddleware

import api.connectors.router
import api.health
import api.pipelines.router
import api.runs.router
import api.schemas.router
from api import errors
from api.auth import refuse_open_doors
from api.context import RunOrchestrator, Services
from api.middleware import REQUEST_ID_HEADER, RequestMiddleware
from catalog.engine import make_engine
from catalog.runs import RunStore
from catalog.settings import Settings
from catalog.settings import settings as process_settings
from deployments.orchestrator import Orchestrator

BASE_PATH = "/api/v1"

RESOURCES = (api.pipelines.router, api.runs.router, api.connectors.router, api.schemas.router)
"""One module per resource, each with a `router`."""

_POOL_SIZE = 20  # about half of the threads that serve requests; the rest may overflow


def create_app(
    settings: Settings | None = None, *, orchestrator: RunOrchestrator | None = None, engine: Engine | None = None
) -> FastAPI:
    """The facade, on the settings of the process unless others are given.

    The database must have been migrated (`catalog.engine.upgrade`); neither it nor Prefect need be there yet. Raises
    ValueError when authentication is off and the host is not loopback.
    """
    settings = settings or process_settings()
    refuse_open_doors(settings)
    _configure_logs()
    owned_engine = engine or make_engine(settings.database_url, pool_size=_POOL_SIZE)
    services = Services(
        settings=settings,
        engine=owned_engine,
        store=RunStore(owned_engine, pepper=settings.key_pepper.get_secret_value()),
        orchestrator=orchestrator or Orchestrator(settings.prefect_api_url, settings.work_pool),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if isinstance(services.orchestrator, Orchestrator):
            services.orchestrator.close()
        if engine is None:
            services.engine.dispose()

    app = FastAPI(
        title="Headrace",
        version=_version(),
        description="Pipelines as documents, run by Prefect, loaded exactly once.",
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.services = services
    errors.install(app)
    for resource in RESOURCES:
        app.include_router(resource.router, prefix=BASE_PATH)
    app.include_router(api.health.router)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=[REQUEST_ID_HEADER, "Retry-After", "Content-Disposition"],
        )
    app.add_middleware(RequestMiddleware, max_body_bytes=settings.max_body_bytes)
    return app


def _version() -> str:
    try:
        return version("headrace")
    except PackageNotFoundError:  # run from a checkout
        return "0"


def _configure_logs() -> None:
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
