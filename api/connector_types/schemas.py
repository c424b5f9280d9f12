"""Response models of connector types."""

from __future__ import annotations

from typing import Any, Literal

from headrace.api.wire import ResponseModel

Status = Literal["ready", "coming_soon"]


class ConnectorTypeItem(ResponseModel):
    """A connector type, with the JSON Schemas of its settings."""

    type: str
    """The name of the type, as in `type` of a connector. Installed packages may add types."""
    title: str
    """The name for people."""
    category: str
    """A group for lists, such as `files`, `database`, `warehouse` or `stream`; installed packages may add further
    ones."""
    description: str
    """What it reads, in a sentence."""
    status: Status
    """`ready`: its sources can be read. `coming_soon`: pipelines can be built and run, but read no rows yet."""
    source: str | None
    """The `connector` of an IR's source node that reads it; null for a type that is only loaded or called."""
    testable: bool
    """Whether connections of this type can be tested."""
    auth_methods: list[str]
    """The values of `authMethod` that it supports; installed packages may add further ones."""
    config_schema: dict[str, Any]
    """The JSON Schema of `config`. A setting with `x-address` decides where credentials are sent."""
    auth_config_schema: dict[str, Any]
    """The JSON Schema of `authConfig`."""


class ConnectorTypes(ResponseModel):
    """All connector types."""

    data: list[ConnectorTypeItem]
    """Every type, by name."""
