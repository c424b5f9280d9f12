"""A tenant's connectors, and those that the sources and targets of a document name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from headrace.catalog.models import Connector, Pipeline
from headrace.catalog.repositories.base import TenantRepository
from headrace.catalog.repositories.usage import PipelineUsage, uses_connector

_MAX_ERROR_CHARS = 1000


class ConnectorRepository(TenantRepository[Connector]):
    """Connectors; credentials are sealed before they get here (`catalog.security.credentials`)."""

    model = Connector
    noun = "connector"
    counted = "connectors"

    def all(self) -> list[Connector]:
        """Returns all connectors of the tenant, oldest first."""
        return list(self.session.scalars(self.owned().order_by(Connector.created_at, Connector.id)))

    def remove(self, item: Connector) -> None:
        """Deletes a connector. Raises Conflict, with the names of pipelines, while pipelines use it."""
        PipelineUsage(self.session, self.tenant_id).refuse(
            f"The connector '{item.name}'", Pipeline.connector_id == item.id, uses_connector(item.id, item.name)
        )
        super().remove(item)

    def record_test(self, item: Connector, error: str | None) -> None:
        """Stores the result of a connection test; `error` is None if it succeeded."""
        item.last_tested_at = datetime.now(UTC)
        item.last_error = error[:_MAX_ERROR_CHARS] if error is not None else None
        item.status = "active" if error is None else "error"
        self.save(item)


class Named(Protocol):
    """A connector with an id and a name."""

    id: str
    name: str


Record = TypeVar("Record", bound=Named)


def named_connectors(ir: Mapping[str, Any]) -> list[str]:
    """Returns the values of `connection` of the sources and targets of a document, without duplicates."""
    kinds = ("source", "target")
    nodes = (node for node in ir.get("nodes", ()) if isinstance(node, Mapping) and node.get("kind") in kinds)
    return list(dict.fromkeys(str(node["connection"]) for node in nodes if node.get("connection")))


def chosen(named: str, records: Iterable[Record]) -> Record | None:
    """Returns the record with that id, else the first with that name. `records` are ordered by age, oldest first."""
    listed = list(records)
    return next((each for each in listed if each.id == named), None) or next(
        (each for each in listed if each.name == named), None
    )
