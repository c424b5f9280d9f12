"""`/connectors`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from api.auth import READ, WRITE, allow, guarded_router
from api.connectors import service, testing
from api.connectors.schemas import ConnectorItem, CreateConnector, TestConnector, TestResult, UpdateConnector
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


@router.put("/connectors", openapi_extra=allow(*WRITE))
def update_connector(context: Context, body: UpdateConnector) -> ConnectorItem:
    """Changes a connector; what the body leaves out stays."""
    return service.update_connector(context, body)


@router.delete("/connectors", status_code=204, openapi_extra=allow(*WRITE))
def delete_connector(context: Context, connector_id: Annotated[str, Query(alias="id")]) -> None:
    """Deletes a connector that no pipeline uses."""
    service.delete_connector(context, connector_id)


@router.post("/connectors/test", response_model_exclude_none=True, openapi_extra=allow(*WRITE))
def test_connection(context: Context, body: TestConnector) -> TestResult:
    """Tries a connection before it is stored."""
    return testing.try_connection(context, body)


@router.get("/connectors/{connector_id}", openapi_extra=allow(*READ))
def get_connector(context: Context, connector_id: str) -> ConnectorItem:
    """One connector."""
    return service.get_connector(context, connector_id)


@router.post("/connectors/{connector_id}/test", response_model_exclude_none=True, openapi_extra=allow(*WRITE))
def test_connector(context: Context, connector_id: str) -> TestResult:
    """Tries a stored connection; the outcome shows in `status`, `lastTestedAt` and `lastError`."""
    return testing.try_connector(context, connector_id)
