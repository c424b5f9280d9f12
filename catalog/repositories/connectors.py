"""A tenant's connectors."""

from __future__ import annotations

from catalog.models import Connector
from catalog.repositories.base import TenantRepository


class ConnectorRepository(TenantRepository[Connector]):
    """Connectors; credentials are sealed before they get here (`catalog.credentials`)."""

    model = Connector
    noun = "connector"
