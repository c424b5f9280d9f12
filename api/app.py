"""The application: `uvicorn api.app:create_app --factory`."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware

import api.api_keys.router
import api.applied_sets.router
import api.audit.router
import api.connector_types.router
import api.connectors.router
import api.dlq.router
import api.health
import api.ir.published
import api.ir.router
import api.lineage.router
import api.metrics
import api.pipelines.router
import api.plans.router
import api.runs.router
import api.scheduler.router
import api.schema_fields.router
import api.schema_rows.router
import api.schemas.router
from api import errors, openapi
from api.auth import refuse_open_doors
from api.context import RunOrchestrator, Services
from api.logs import configure_logs
from api.metrics_registry import RequestMetrics
from api.middleware import REQUEST_ID_HEADER, RequestMiddleware
from api.principals import Principals
from api.ratelimit import RateLimiter
from catalog.engine import make_engine
from catalog.runs import RunStore
from catalog.settings import Settings
from catalog.settings import settings as process_settings
from deployments.background import BackgroundThread
from deployments.follow_runs import RunFollower
from deployments.orchestrator import Orchestrator
from deployments.reconcile import Reconciler

BASE_PATH = "/api/v1"

RESOURCES = (
    api.pipelines.router,
    api.ir.router,
    api.plans.router,
    api.runs.router,
    api.dlq.router,
    api.connectors.router,
    api.connector_types.router,
    api.schemas.router,
    api.schema_fields.router,
    api.schema_rows.router,
    api.api_keys.router,
    api.audit.router,
    api.applied_sets.router,
    api.lineage.router,
    api.scheduler.router,
)
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
    configure_logs()
    owned_engine = engine or make_engine(
        settings.database_url, pool_size=_POOL_SIZE, query_timeout_s=settings.query_timeout_s
    )
    services = Services(
        settings=settings,
        engine=owned_engine,
        store=RunStore(owned_engine, keyring=settings.keyring),
        orchestrator=orchestrator or Orchestrator(settings.prefect_api_url, settings.work_pool),
        principals=Principals(owned_engine, settings.key_pepper.get_secret_value(), settings.key_cache_s),
        limiter=RateLimiter(settings.rate_limit),
        metrics=RequestMetrics(owned_engine),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        gc.collect()
        gc.freeze()  # what is imported by now stays: looking through it again and again stops everybody for 0.1 s
        background = [BackgroundThread("reconciler", Reconciler(services.engine, services.orchestrator).step)]
        if isinstance(services.orchestrator, Orchestrator):
            follower = RunFollower(services.engine, services.store, services.orchestrator)
            background.append(BackgroundThread("run follower", follower.step))
        for thread in background:
            thread.start()
        yield
        for thread in background:
            await run_in_threadpool(thread.stop)
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
        generate_unique_id_function=openapi.operation_id,
    )
    app.state.services = services
    errors.install(app, [resource.router for resource in RESOURCES])
    for resource in RESOURCES:
        app.include_router(resource.router, prefix=BASE_PATH)
    app.include_router(api.health.router)
    # Also below the base path, for clients that know no other address than `apiUrl`.
    app.include_router(api.health.router, prefix=BASE_PATH, include_in_schema=False)
    app.include_router(api.ir.published.router, prefix=BASE_PATH)
    app.include_router(api.metrics.router)
    openapi.install(app)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=[REQUEST_ID_HEADER, "Retry-After", "Content-Disposition"],
        )
    app.add_middleware(
        RequestMiddleware,
        metrics=services.metrics,
        max_body_bytes=settings.max_body_bytes,
        body_timeout_s=settings.body_timeout_s,
        cors=bool(settings.cors_origins),
    )
    return app


def _version() -> str:
    try:
        return version("headrace")
    except PackageNotFoundError:  # run from a checkout
        return "0"
