"""Which connector types there are, and which of them read."""

from __future__ import annotations

from api.connector_types.schemas import ConnectorTypeItem, ConnectorTypes
from connectors.catalogue import CONNECTOR_TYPES, ConnectorType
from connectors.probes import PROBES
from connectors.registry import READY


def list_connector_types() -> ConnectorTypes:
    """Every type, by name."""
    return ConnectorTypes(data=[_shown(CONNECTOR_TYPES[name]) for name in sorted(CONNECTOR_TYPES)])


def _shown(known: ConnectorType) -> ConnectorTypeItem:
    return ConnectorTypeItem(
        type=known.name,
        title=known.title,
        category=known.category,
        description=known.summary,
        status="ready" if known.source in READY else "coming_soon",
        source=known.source,
        testable=known.name in PROBES,
        auth_methods=list(known.auth_methods),
        config_schema=known.config_schema,
        auth_config_schema=known.auth_schema,
    )
