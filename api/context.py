"""What an endpoint works with: who asks, the catalog as that tenant sees it, and the orchestrator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from api.metrics_registry import RequestMetrics
from api.principals import Principals
from api.ratelimit import RateLimiter
from catalog.credentials import Keyring
from catalog.keys import Principal
from catalog.repositories import TenantCatalog
from catalog.runs import RunStore
from catalog.settings import Settings
from deployments.orchestrator import RegisteredPipeline, RunState, StartedRun
from deployments.reconcile import Reconciler


class RunOrchestrator(Protocol):
    """What the facade asks of `deployments.orchestrator.Orchestrator`; see there for what each gives and raises."""

    def register(self, pipeline: RegisteredPipeline, *, first: bool = False) -> str: ...

    def retire(self, pipeline_id: str, *, keep: str) -> bool: ...

    def unregister(self, pipeline_id: str) -> bool: ...

    def registered(self) -> dict[str, str]: ...

    def start(
        self, deployment_id: str, *, parameters: dict[str, Any], idempotency_key: str | None, name: str | None = None
    ) -> StartedRun: ...

    def state(self, run_id: str) -> RunState | None: ...

    def cancel(self, run_id: str) -> None: ...

    def runs(self, deployment_id: str, limit: int = 20) -> list[RunState]: ...

    def credentials(self, credentials: Mapping[str, Any], allowed: Sequence[str]) -> dict[str, Any]: ...

    def healthy(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Services:
    """What lives as long as the application; `app.state.services`."""

    settings: Settings
    engine: Engine
    store: RunStore
    orchestrator: RunOrchestrator
    principals: Principals
    limiter: RateLimiter
    metrics: RequestMetrics


@dataclass(frozen=True, slots=True)
class RequestContext:
    """One request's view of the system."""

    principal: Principal
    services: Services

    @contextmanager
    def catalog(self) -> Iterator[TenantCatalog]:
        """The tenant's catalog in one transaction, committed on leaving, rolled back by an exception."""
        with Session(self.services.engine, expire_on_commit=False) as session, session.begin():
            yield TenantCatalog(session, self.principal.tenant_id)

    @contextmanager
    def reading(self) -> Iterator[TenantCatalog]:
        """The tenant's catalog for queries alone: each sees what is committed when it begins, as in a transaction, but
        nothing is sent to begin and end one."""
        engine = self.services.engine.execution_options(isolation_level="AUTOCOMMIT")
        with Session(engine, autoflush=False) as session:
            yield TenantCatalog(session, self.principal.tenant_id)

    @property
    def store(self) -> RunStore:
        """Runs by id; only for ids that the tenant's catalog has confirmed."""
        return self.services.store

    @property
    def orchestrator(self) -> RunOrchestrator:
        """Prefect."""
        return self.services.orchestrator

    @property
    def key_pepper(self) -> str:
        """The secret in the hashes of API keys."""
        return self.services.settings.key_pepper.get_secret_value()

    @property
    def reconciler(self) -> Reconciler:
        """What brings Prefect in line with the catalog."""
        return Reconciler(self.services.engine, self.services.orchestrator)

    @property
    def keyring(self) -> Keyring:
        """The keys that seal connector credentials."""
        return self.services.settings.keyring


def services_of(request: Request) -> Services:
    """The application's services."""
    services: Services = request.app.state.services
    return services


async def _context(request: Request) -> RequestContext:  # not a thread's work: it waits for nothing
    return RequestContext(request.state.principal, services_of(request))


Context = Annotated[RequestContext, Depends(_context)]
