"""A tenant's connectors."""

from __future__ import annotations

from datetime import UTC, datetime

from catalog.models import Connector, Pipeline
from catalog.repositories.base import TenantRepository
from catalog.repositories.usage import PipelineUsage

_MAX_ERROR_CHARS = 1000


class ConnectorRepository(TenantRepository[Connector]):
    """Connectors; credentials are sealed before they get here (`catalog.credentials`)."""

    model = Connector
    noun = "connector"

    def remove(self, item: Connector) -> None:
        """Removes a connector. Raises Conflict, naming the pipelines, while some use it."""
        PipelineUsage(self.session, self.tenant_id).refuse(
            f"The connector '{item.name}'", Pipeline.connector_id == item.id
        )
        super().remove(item)

    def record_test(self, item: Connector, error: str | None) -> None:
        """Keeps the outcome of a connection test; `error` is None when it worked."""
        item.last_tested_at = datetime.now(UTC)
        item.last_error = error[:_MAX_ERROR_CHARS] if error is not None else None
        item.status = "active" if error is None else "error"
        self.save(item)
