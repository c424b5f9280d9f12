"""Connection tests as the facade's children make them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.connectors.connector import Connection, Context, Found, Surroundings
from headrace.connectors.registry import of_type


def tried(kind: str, config: Mapping[str, Any], credentials: Mapping[str, Any], surroundings: Surroundings) -> Found:
    """What trying a connection of that type finds. Raises SourceError."""
    connector = of_type(kind)
    assert connector is not None
    return connector.tried(Context(Connection("conn_1", kind, config, credentials), surroundings))
