"""The context of endpoints: the caller, the catalog of the caller's tenant, the orchestrator and shared services."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from fastapi import Depends, Request
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from headrace.api.monitoring.collectors import RequestMetrics
from headrace.api.monitoring.readiness import Readiness
from headrace.api.requests.concurrency import RequestSlots, StreamSlots
from headrace.api.requests.key_cache import KeyCache
from headrace.api.requests.rate_limit import RateLimiter
from headrace.api.server.shutdown import ShutdownSignal
from headrace.api.subprocesses.pool import SubprocessPool
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.runs.store import RunStore
from headrace.catalog.security.api_keys import Principal
from headrace.catalog.security.credentials import Keyring
from headrace.catalog.settings import Settings
from headrace.deployments.prefect.orchestrator import RegisteredPipeline, RunState, StartedRun
from headrace.deployments.sync.audit_sealer import AuditSealer
from headrace.deployments.sync.reconciler import Reconciler

if TYPE_CHECKING:
    from headrace.api.hooks.known import KnownHooks
    from headrace.api.hooks.spooling import HookWriter


class RunOrchestrator(Protocol):
    """The methods of `deployments.prefect.orchestrator.Orchestrator` that the API calls; they are documented there."""

    def register(self, pipeline: RegisteredPipeline, *, first: bool = False) -> str: ...

    def retire(self, pipeline_id: str, *, keep: str) -> bool: ...

    def unregister(self, pipeline_id: str) -> bool: ...

    def registered(self) -> dict[str, str]: ...

    def start(
        self, deployment_id: str, *, parameters: dict[str, Any], idempotency_key: str | None, name: str | None = None
    ) -> StartedRun: ...

    def state(self, run_id: str) -> RunState | None: ...

    def cancel(self, run_id: str) -> bool: ...

    def runs(self, deployment_id: str, limit: int = 20) -> list[RunState]: ...

    def active_runs(self, deployment_id: str) -> list[RunState]: ...

    def credentials(self, credentials: Mapping[str, Any], allowed: Sequence[str]) -> dict[str, Any]: ...

    def healthy(self) -> bool: ...

    def served(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Services:
    """Objects with the lifetime of the application; `app.state.services`."""

    settings: Settings
    engine: Engine
    store: RunStore
    orchestrator: RunOrchestrator
    key_cache: KeyCache
    limiter: RateLimiter
    """Limits requests per API key."""
    unauthenticated: RateLimiter
    """Limits requests without a valid key per client address."""
    admission: RequestSlots
    streams: StreamSlots
    closing: ShutdownSignal
    readiness: Readiness
    audit_sealer: AuditSealer
    metrics: RequestMetrics
    subprocesses: SubprocessPool
    hooks: KnownHooks
    hook_limiter: RateLimiter
    """Limits requests per webhook."""
    hook_writer: HookWriter


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The caller of one request and the services it uses."""

    principal: Principal
    services: Services

    @contextmanager
    def catalog(self) -> Iterator[TenantCatalog]:
        """The tenant's catalog in one transaction: committed on exit, rolled back on an exception."""
        with Session(self.services.engine, expire_on_commit=False) as session, session.begin():
            yield TenantCatalog(session, self.principal.tenant_id, self.limit)

    @contextmanager
    def reading(self) -> Iterator[TenantCatalog]:
        """The tenant's catalog for reads, in autocommit mode: each query sees what was committed when it began, and
        BEGIN and COMMIT are not sent."""
        engine = self.services.engine.execution_options(isolation_level="AUTOCOMMIT")
        with Session(engine, autoflush=False) as session:
            yield TenantCatalog(session, self.principal.tenant_id, self.limit)

    def limit(self, name: str) -> int:
        """The value of HEADRACE_MAX_<name> for the tenant."""
        return self.services.settings.limit(name, self.principal.tenant_id)

    @property
    def store(self) -> RunStore:
        """Runs by id, of any tenant: use it only with ids that were found in the tenant's catalog."""
        return self.services.store

    @property
    def orchestrator(self) -> RunOrchestrator:
        """The client of Prefect."""
        return self.services.orchestrator

    @property
    def key_pepper(self) -> str:
        """The secret with which API keys are hashed."""
        return self.services.settings.pepper

    @property
    def reconciler(self) -> Reconciler:
        """Updates Prefect deployments to match the catalog."""
        return Reconciler(self.services.engine, self.services.orchestrator)

    @property
    def keyring(self) -> Keyring:
        """The keys that encrypt connector credentials."""
        return self.services.settings.keyring


def services_of(request: Request) -> Services:
    """The application's services."""
    services: Services = request.app.state.services
    return services


async def _context(request: Request) -> RequestContext:  # async: it does not block, so it needs no thread
    return RequestContext(request.state.principal, services_of(request))


Context = Annotated[RequestContext, Depends(_context)]
