"""The source connectors by their IR name. A new connector is one module and one line in READY."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from connectors.base import Source, SourceError
from connectors.catalogue import SOURCE_NAMES
from connectors.coming_soon import ComingSoon
from connectors.files.arrival_config import arrival_problems
from connectors.files.delimited.dialect import near
from connectors.files.local_fs import LocalFiles
from connectors.files.settings import FileSettings
from ir.problems import Problem
from ir.schema import Schema


class SourceType(Protocol):
    """What makes a Source from a node's config, its declared fields and the connector record's config."""

    def __call__(
        self, config: Mapping[str, Any], *, fields: Schema, files_root: Path, connection: Mapping[str, Any]
    ) -> Source: ...


READY: dict[str, SourceType] = {"local_fs": LocalFiles}
"""The connectors that read."""

SOURCES: dict[str, SourceType] = {name: partial(ComingSoon, name) for name in SOURCE_NAMES} | READY
"""Every connector a source node may name; what is registered and not ready gives no rows and says so."""


CONFIGS: dict[str, Callable[[Mapping[str, Any]], list[Problem]]] = {"local_fs": arrival_problems}
"""What can be said of a source's config before anything is looked at, by connector."""

SETTINGS: dict[str, type[BaseModel]] = {"local_fs": FileSettings}
"""What a source's config may hold, by connector: for editors and the reference."""


def config_problems(connector: str, config: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with a source's config, as far as that shows when it is saved; paths begin with `config`."""
    return CONFIGS[connector](config) if connector in CONFIGS else []


def source_for(
    connector: str, config: Mapping[str, Any], *, fields: Schema, files_root: Path, connection: Mapping[str, Any]
) -> Source:
    """The source of a node; raises SourceError(`unknown_connector`) with the nearest name."""
    if connector not in SOURCES:
        raise SourceError(
            "unknown_connector",
            f"There is no connector '{connector}'.",
            near(connector, tuple(SOURCES)) or f"Use one of {', '.join(sorted(SOURCES))}.",
        )
    return SOURCES[connector](config, fields=fields, files_root=files_root, connection=connection)
