"""The shape of a connector type on the wire."""

from __future__ import annotations

from typing import Any, Literal

from api.wire import Shown

Status = Literal["ready", "coming_soon"]


class ConnectorTypeItem(Shown):
    """A connector type. `source` is what an IR's source node calls it, `coming_soon` one whose pipelines can be built
    and run but read no rows yet, `testable` one whose connection can be tried."""

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


class ConnectorTypes(Shown):
    """All of them."""

    data: list[ConnectorTypeItem]
