"""The catalog as one tenant sees it."""

from __future__ import annotations

from sqlalchemy.orm import Session

from catalog.repositories.applied import AppliedSetRepository
from catalog.repositories.audit import AuditRepository
from catalog.repositories.base import Page, Position
from catalog.repositories.connectors import ConnectorRepository
from catalog.repositories.keys import KeyRepository
from catalog.repositories.pipelines import PipelineRepository
from catalog.repositories.runs import ErrorPosition, RunRepository
from catalog.repositories.schemas import SchemaRepository

__all__ = ["ErrorPosition", "Page", "Position", "TenantCatalog"]


class TenantCatalog:
    """All repositories of one tenant on one session; the caller owns the transaction."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self.session = session
        self.tenant_id = tenant_id
        self.connectors = ConnectorRepository(session, tenant_id)
        self.schemas = SchemaRepository(session, tenant_id)
        self.pipelines = PipelineRepository(session, tenant_id)
        self.runs = RunRepository(session, tenant_id)
        self.keys = KeyRepository(session, tenant_id)
        self.audit = AuditRepository(session, tenant_id)
        self.applied_sets = AppliedSetRepository(session, tenant_id)
