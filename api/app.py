"""The FastAPI application. `api.server` serves it; another ASGI server applies its own connection limits."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI, Request
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware

import headrace.api.api_keys.router
import headrace.api.applied_sets.router
import headrace.api.audit.router
import headrace.api.connector_types.router
import headrace.api.connectors.router
import headrace.api.console.router
import headrace.api.dlq.router
import headrace.api.hooks.router
import headrace.api.ir.json_schemas
import headrace.api.ir.router
import headrace.api.lineage.router
import headrace.api.monitoring.health
import headrace.api.monitoring.metrics
import headrace.api.pipelines.router
import headrace.api.plans.router
import headrace.api.replications.router
import headrace.api.runs.router
import headrace.api.scheduler.router
import headrace.api.schema_fields.router
import headrace.api.schema_rows.router
import headrace.api.schemas.router
import headrace.api.sources.router
import headrace.api.yaml_connectors.router
from headrace.api import errors, openapi
from headrace.api.connectors.uploads import upload_limit
from headrace.api.console.guard import recognise
from headrace.api.console.rendering import error_page
from headrace.api.context import RunOrchestrator, Services
from headrace.api.hooks.known import KnownHooks
from headrace.api.hooks.spooling import HookWriter
from headrace.api.monitoring.collectors import AuditCollector, RequestMetrics
from headrace.api.monitoring.logs import configure_logs
from headrace.api.monitoring.readiness import Readiness
from headrace.api.replications.prepare import Preparer
from headrace.api.requests.auth import client_address, refuse_unauthenticated, require_loopback_without_auth
from headrace.api.requests.concurrency import RequestSlots, StreamSlots
from headrace.api.requests.host_check import HostCheck
from headrace.api.requests.key_cache import KeyCache
from headrace.api.requests.middleware import REQUEST_ID_HEADER, RequestMiddleware
from headrace.api.requests.rate_limit import RateLimiter
from headrace.api.server.shutdown import ShutdownSignal
from headrace.api.subprocesses.pool import SubprocessPool
from headrace.catalog.audit.witness import Witness
from headrace.catalog.due_runs import DueRuns
from headrace.catalog.engine import make_engine
from headrace.catalog.runs.store import RunStore
from headrace.catalog.settings import Settings
from headrace.catalog.settings import settings as process_settings
from headrace.deployments.prefect.api import PrefectApi
from headrace.deployments.prefect.orchestrator import Orchestrator
from headrace.deployments.sync.audit_sealer import AuditSealer
from headrace.deployments.sync.background import BackgroundThread
from headrace.deployments.sync.missed_schedules import MissedSchedules
from headrace.deployments.sync.reconciler import Reconciler
from headrace.deployments.sync.run_sync import RunSync
from headrace.deployments.sync.streams import StreamKeeper
from headrace.deployments.sync.tenant_limits import TenantLimits

BASE_PATH = "/api/v1"
_PROBES = ("/healthz", "/readyz", "/metrics")
_PAGES = frozenset(
    {
        "/openapi.json",
        "/docs",
        f"{BASE_PATH}/ir/schema",
        f"{BASE_PATH}/ir/schema/files",
        f"{BASE_PATH}/ir/schema/replication",
        f"{BASE_PATH}/ir/schema/connector",
    }
)

RESOURCES = (
    headrace.api.pipelines.router,
    headrace.api.ir.router,
    headrace.api.plans.router,
    headrace.api.runs.router,
    headrace.api.replications.router,
    headrace.api.dlq.router,
    headrace.api.connectors.router,
    headrace.api.connector_types.router,
    headrace.api.yaml_connectors.router,
    headrace.api.schemas.router,
    headrace.api.schema_fields.router,
    headrace.api.schema_rows.router,
    headrace.api.api_keys.router,
    headrace.api.audit.router,
    headrace.api.applied_sets.router,
    headrace.api.lineage.router,
    headrace.api.scheduler.router,
    headrace.api.sources.router,
    headrace.api.hooks.router,
)
"""One module per resource, each with a `router`."""

_THREADS = 32
"""Threads for synchronous endpoints; further requests wait for a free thread in the order of arrival."""
_POOL_SIZE = 20  # plus as many overflow: more connections than threads, so health checks and background work get one
_FORK_SERVER_DELAY_S = 2.0


def create_app(
    settings: Settings | None = None, *, orchestrator: RunOrchestrator | None = None, engine: Engine | None = None
) -> FastAPI:
    """Creates the API, with the settings of the process by default.

    The database must have been migrated (`catalog.engine.upgrade`) before requests arrive; neither it nor Prefect has
    to be reachable now. Raises ValueError when authentication is off and the host is not loopback.
    """
    settings = settings or process_settings()
    require_loopback_without_auth(settings)
    configure_logs()
    owned_engine = engine or make_engine(
        settings.database_url, pool_size=_POOL_SIZE, query_timeout_s=settings.query_timeout_s
    )
    metrics = RequestMetrics(owned_engine)
    running = partial(settings.limit, "running_runs")
    services = Services(
        settings=settings,
        engine=owned_engine,
        store=RunStore(owned_engine, keyring=settings.keyring),
        orchestrator=orchestrator or Orchestrator(PrefectApi.of(settings.prefect_api_url), settings.work_pool, running),
        key_cache=KeyCache(owned_engine, settings.pepper, settings.key_cache_s),
        limiter=RateLimiter(settings.rate_limit),
        audit_sealer=AuditSealer(owned_engine, settings.audit_keys, Witness(settings.audit_witness_file)),
        unauthenticated=RateLimiter(settings.unauthenticated_limit),
        admission=RequestSlots(settings.max_requests, refused=metrics.refused),
        streams=StreamSlots(settings.max_event_streams_in_all),
        closing=ShutdownSignal(),
        readiness=Readiness(owned_engine),
        metrics=metrics,
        subprocesses=SubprocessPool(settings),
        hooks=KnownHooks(settings.key_cache_s),
        hook_limiter=RateLimiter(settings.hook_rate_limit),
        hook_writer=HookWriter(owned_engine, settings),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        gc.collect()
        current_default_thread_limiter().total_tokens = _THREADS
        gc.freeze()  # imported objects stay: without this every full collection scans them, a pause of 0.1 s
        background = [
            BackgroundThread("reconciler", Reconciler(services.engine, services.orchestrator).step),
            BackgroundThread("due runs", DueRuns(services.engine).step),
            BackgroundThread("audit sealer", services.audit_sealer.step),
            BackgroundThread("replications", Preparer(services).step),
        ]
        if isinstance(services.orchestrator, Orchestrator):
            follower = RunSync(services.engine, services.store, services.orchestrator)
            background.append(BackgroundThread("run follower", follower.step))
            reconciler = Reconciler(services.engine, services.orchestrator)
            keeper = StreamKeeper(services.store, services.orchestrator, reconciler.bring)
            background.append(BackgroundThread("streams", keeper.step))
            missed = MissedSchedules(services.engine, services.orchestrator)
            background.append(BackgroundThread("missed schedules", missed.step))
            limits = TenantLimits(
                services.orchestrator,
                running=running,
                waiting=partial(settings.limit, "waiting_runs"),
                least=settings.smallest("waiting_runs"),
            )
            background.append(BackgroundThread("tenant limits", limits.step))
        for thread in background:
            thread.start()
        # Delayed: its imports take seconds of CPU that a starting stack needs. The first job starts it sooner.
        preparing = asyncio.get_running_loop().call_later(_FORK_SERVER_DELAY_S, services.subprocesses.start)
        yield
        services.closing.close()
        preparing.cancel()
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
        docs_url=None,  # the console has them, from this package
        redoc_url=None,
        generate_unique_id_function=openapi.operation_id,
    )
    app.state.services = services
    app.state.error_page, app.state.recognise = error_page, recognise
    services.metrics.registry.register(AuditCollector(services.audit_sealer))
    errors.install(app, [*(resource.router for resource in RESOURCES), headrace.api.console.router.router])
    for resource in RESOURCES:
        app.include_router(resource.router, prefix=BASE_PATH)
    app.include_router(headrace.api.monitoring.health.router)
    # Also under the base path, for clients that only know `apiUrl`.
    app.include_router(headrace.api.monitoring.health.router, prefix=BASE_PATH, include_in_schema=False)
    app.include_router(headrace.api.ir.json_schemas.router, prefix=BASE_PATH)
    app.include_router(headrace.api.monitoring.metrics.router)
    app.include_router(headrace.api.console.router.router)
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
        admission=services.admission,
        hosts=HostCheck(settings),
        probes=frozenset(prefix + path for prefix in ("", BASE_PATH) for path in _PROBES),
        pages=_PAGES,
        anonymous=lambda scope: refuse_unauthenticated(services, client_address(Request(scope))),
        max_body_bytes=settings.max_body_bytes,
        body_timeout_s=settings.body_timeout_s,
        uploads=partial(upload_limit, settings),
        cors=bool(settings.cors_origins),
    )
    return app


def _version() -> str:
    try:
        return version("headrace")
    except PackageNotFoundError:  # run from a checkout
        return "0"
