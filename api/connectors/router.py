"""`/connectors`."""

from __future__ import annotations

from api.auth import READ, WRITE, allow, guarded_router
from api.connectors import service
from api.connectors.schemas import ConnectorItem, CreateConnector
from api.context import Context
from api.pagination import Paged, PageOf

router = guarded_router("connectors")


@router.get("/connectors", openapi_extra=allow(*READ))
def list_connectors(context: Context, page: Paged) -> PageOf[ConnectorItem]:
    """The tenant's connectors, newest first."""
    return service.list_connectors(context, page)


@router.post("/connectors", status_code=201, openapi_extra=allow(*WRITE))
def create_connector(context: Context, body: CreateConnector) -> ConnectorItem:
    """Creates a connector."""
    return service.create_connector(context, body)


@router.get("/connectors/{connector_id}", openapi_extra=allow(*READ))
def get_connector(context: Context, connector_id: str) -> ConnectorItem:
    """One connector."""
    return service.get_connector(context, connector_id)
