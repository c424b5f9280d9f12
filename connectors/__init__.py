"""Connectors: the sources of rows, and the PostgreSQL target.

For authors of connectors these names are public, and `headrace.testing.SourceConformance` tests what they write. They
are imported when they are used: the document and the command line do without polars.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.connectors.connector import (
        Connection,
        Connector,
        Context,
        DatasetName,
        Found,
        Reader,
        Surroundings,
    )
    from headrace.connectors.errors import SourceError
    from headrace.connectors.source import (
        ROW,
        Acknowledging,
        Batch,
        Bound,
        Closing,
        Discovery,
        Fitting,
        Incremental,
        Narrowing,
        Partition,
        Position,
        Restart,
        Source,
        StreamFound,
        Wanted,
        numbered_from,
    )
    from headrace.connectors.specs.base import ClosedConfig, Config, ConnectorType

_HOMES = {
    "connector": ("Connection", "Connector", "Context", "DatasetName", "Found", "Reader", "Surroundings"),
    "errors": ("SourceError",),
    "source": (
        "ROW",
        "Acknowledging",
        "Batch",
        "Bound",
        "Closing",
        "Discovery",
        "Fitting",
        "Incremental",
        "Narrowing",
        "Partition",
        "Position",
        "Restart",
        "Source",
        "StreamFound",
        "Wanted",
        "numbered_from",
    ),
    "specs.base": ("ClosedConfig", "Config", "ConnectorType"),
}

__all__ = [  # noqa: RUF022 (by where they are)
    "Connection",
    "Connector",
    "Context",
    "DatasetName",
    "Found",
    "Reader",
    "Surroundings",
    "SourceError",
    "ROW",
    "Acknowledging",
    "Batch",
    "Bound",
    "Closing",
    "Discovery",
    "Fitting",
    "Incremental",
    "Narrowing",
    "Partition",
    "Position",
    "Restart",
    "Source",
    "StreamFound",
    "Wanted",
    "numbered_from",
    "ClosedConfig",
    "Config",
    "ConnectorType",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"headrace.connectors.{home}"), name)
    raise AttributeError(f"module 'headrace.connectors' has no attribute '{name}'")
