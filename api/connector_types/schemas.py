"""Response models of connector types."""

from __future__ import annotations

from typing import Any, Literal

from headrace.api.wire import ResponseModel

Status = Literal["ready", "coming_soon"]


class ConnectorTypeItem(ResponseModel):
    """A connector type. `source` is its name in an IR's source node. Pipelines of a `coming_soon` type can be built and
    run, but read no rows yet. `testable`: whether its connections can be tested."""

    type: str
    title: str
    category: str
    description: str
    status: Status
    source: str | None
    testable: bool
    auth_methods: list[str]
    config_schema: dict[str, Any]
    auth_config_schema: dict[str, Any]


class ConnectorTypes(ResponseModel):
    """All connector types."""

    data: list[ConnectorTypeItem]
