"""Reads a stream of a connector that comes with Headrace, from a fake of its service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.registry import source_for
from headrace.connectors.source import Incremental, Position
from tests.connectors.http.shipped.service import Service
from tests.connectors.reading import batches
from tests.connectors.stores.places import LOOPBACK

Read = tuple[list[dict[str, Any]], Position | None]


def context(name: str, service: Service, stream: str, credentials: dict[str, Any], **config: Any) -> Context:
    """The context of a source node."""
    record = Connection("conn_1", name, {"url": service.url, "insecureLogin": True, **config}, credentials)
    return Context(record, Surroundings(FilesRoot(Path("/nowhere")), LOOPBACK), {"endpoint": stream})


def read(made: Context, position: Position | None = None, *, most: int = 8) -> Read:
    """The rows of a run, and where the next one begins. No row may be rejected."""
    source = source_for(made.connection.type, made)
    if isinstance(source, Incremental):
        source.begin_at({} if position is None else {"default": position})
    found = source.discover(max_partitions=most)
    rows: list[dict[str, Any]] = []
    for partition in found.partitions:
        for batch in batches(source, found, partition):
            assert batch.rejects.is_empty(), batch.rejects
            rows += batch.frame.to_dicts()
            position = batch.position if partition.cursor is not None else None
    source.close()  # type: ignore[attr-defined]
    return rows, position
