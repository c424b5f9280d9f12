"""The connector types by name. A new type is one entry in one of the modules here."""

from __future__ import annotations

from headrace.connectors.specs.base import ConnectorType
from headrace.connectors.specs.databases import DATABASES
from headrace.connectors.specs.files import FILES
from headrace.connectors.specs.services import SERVICES
from headrace.connectors.specs.shipped import shipped_types

CONNECTOR_TYPES: dict[str, ConnectorType] = {
    each.name: each for each in (*FILES, *DATABASES, *SERVICES, *shipped_types())
}

SOURCE_NAMES: frozenset[str] = frozenset(
    name for each in CONNECTOR_TYPES.values() for name in (each.name, each.source) if name is not None
)
"""The connector names allowed in a source node: the type's name, or the IR's name where they differ (`aws_s3`,
`s3`)."""

__all__ = ["CONNECTOR_TYPES", "SOURCE_NAMES", "ConnectorType"]
