"""`/connector-types`."""

from __future__ import annotations

from headrace.api.connector_types import service
from headrace.api.connector_types.schemas import ConnectorTypes
from headrace.api.requests.auth import READ, allow, guarded_router

router = guarded_router("connectors")


@router.get("/connector-types", openapi_extra=allow(*READ))
def list_connector_types() -> ConnectorTypes:
    """All connector types with the JSON Schemas of their configs, and whether they can be read yet."""
    return service.list_connector_types()
