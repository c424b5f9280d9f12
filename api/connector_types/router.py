"""`/connector-types`."""

from __future__ import annotations

from api.auth import READ, allow, guarded_router
from api.connector_types import service
from api.connector_types.schemas import ConnectorTypes

router = guarded_router("connectors")


@router.get("/connector-types", openapi_extra=allow(*READ))
def list_connector_types() -> ConnectorTypes:
    """Every connector type with the JSON Schema of its config, and whether it reads yet."""
    return service.list_connector_types()
