"""Repositories: the catalog of one tenant."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from headrace.catalog.repositories.api_keys import KeyRepository
from headrace.catalog.repositories.applied_sets import AppliedSetRepository
from headrace.catalog.repositories.audit import AuditRepository
from headrace.catalog.repositories.base import Page, Position
from headrace.catalog.repositories.connectors import ConnectorRepository
from headrace.catalog.repositories.error_pages import ErrorPosition
from headrace.catalog.repositories.pipelines import PipelineRepository
from headrace.catalog.repositories.replications import ReplicationRepository
from headrace.catalog.repositories.runs import RunRepository
from headrace.catalog.repositories.schemas import SchemaRepository
from headrace.catalog.repositories.yaml_connectors import YamlConnectorRepository

__all__ = ["ErrorPosition", "Page", "Position", "TenantCatalog"]


class TenantCatalog:
    """All repositories of one tenant on one session; the caller owns the transaction."""

    def __init__(self, session: Session, tenant_id: str, limits: Callable[[str], int] | None = None) -> None:
        """`limits` returns the tenant's limit of a kind (`HEADRACE_MAX_<kind>`); no limits without it."""
        self.session = session
        self.tenant_id = tenant_id
        self.connectors = ConnectorRepository(session, tenant_id)
        self.schemas = SchemaRepository(session, tenant_id)
        self.pipelines = PipelineRepository(session, tenant_id)
        self.runs = RunRepository(session, tenant_id)
        self.keys = KeyRepository(session, tenant_id)
        self.audit = AuditRepository(session, tenant_id)
        self.applied_sets = AppliedSetRepository(session, tenant_id)
        self.replications = ReplicationRepository(session, tenant_id)
        self.yaml_connectors = YamlConnectorRepository(session, tenant_id)
        for repository in (
            *(self.connectors, self.schemas, self.pipelines, self.keys),
            *(self.applied_sets, self.replications, self.yaml_connectors),
        ):
            repository.limits = limits
