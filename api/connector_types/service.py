"""Lists the connector types and whether they are implemented."""

from __future__ import annotations

from headrace.api.connector_types.schemas import ConnectorTypeItem, ConnectorTypes
from headrace.connectors.registry import connector_types, of_type, readable
from headrace.connectors.specs import ConnectorType


def list_connector_types() -> ConnectorTypes:
    """Every type, by name."""
    return ConnectorTypes(data=[_shown(known) for _, known in sorted(connector_types().items())])


def _shown(known: ConnectorType) -> ConnectorTypeItem:
    return ConnectorTypeItem(
        type=known.name,
        title=known.title,
        category=known.category,
        description=known.summary,
        status="ready" if known.source in readable() else "coming_soon",
        source=known.source,
        testable=of_type(known.name) is not None,
        auth_methods=list(known.auth_methods),
        config_schema=known.config_schema,
        auth_config_schema=known.auth_schema,
    )
