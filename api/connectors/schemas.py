"""The shapes of a connector on the wire."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from api.wire import Body, Description, Name, Shown, Timestamp

ConnectorType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_:.-]{0,63}$")]


class ConnectorItem(Shown):
    """A connector without its credentials, which are never shown."""

    id: str
    name: str
    type: str
    description: str | None
    config: dict[str, Any]
    auth_method: str
    status: str
    last_tested_at: Timestamp | None
    last_error: str | None
    last_sync_row_count: int | None
    last_sync_at: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp


class CreateConnector(Body):
    """A new connector. `config` and its alias `connectionConfig` are merged; `authConfig` is write-only."""

    name: Name
    type: ConnectorType
    description: Description | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    connection_config: dict[str, Any] = Field(default_factory=dict)
    auth_method: Annotated[str, StringConstraints(min_length=1, max_length=64)] = "access_key"
    auth_config: dict[str, Any] = Field(default_factory=dict)
