"""The pipelines that read a stream of a connector, and what is different from the columns that they know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headrace.api.connectors.stream_schemas import StreamItem
from headrace.api.context import RequestContext
from headrace.catalog.found_columns import ColumnChange, column_changes, known, nodes_reading, source_key
from headrace.ir.schema import Field

_MAX_READERS = 50


@dataclass(frozen=True, slots=True)
class StreamReader:
    """A source node that reads a stream. `changes` are against the columns of its last run, or by name against the
    `fields` that it `declares`; `since` is when that run was planned. `known` is false before a first run."""

    pipeline_id: str
    pipeline: str
    node: str
    declares: bool
    known: bool
    since: datetime | None
    changes: Sequence[ColumnChange]


def readers_of(context: RequestContext, connector_id: str, found: StreamItem) -> list[StreamReader]:
    """The readers of a stream that was just looked at, at most 50, by the name of their pipeline."""
    now = tuple(Field(each.name, each.data_type, each.precision, each.scale) for each in found.fields or ())
    configs = [found.settings, *([found.settings | {"format": found.format}] if found.format else [])]
    with context.reading() as catalog:
        connector = catalog.connectors.get(connector_id)
        if connector is None:
            return []
        named = (connector.id, connector.name)
        nodes = nodes_reading(catalog.session, catalog.tenant_id, named, configs, declared=True)
        readers: dict[tuple[str, str], StreamReader] = {}
        for pipeline_id, node in nodes[:_MAX_READERS]:
            pipeline = catalog.pipelines.get(pipeline_id)
            if pipeline is None:
                continue
            name = str(node["id"])
            if node.get("fields"):
                reader = StreamReader(pipeline_id, pipeline.name, name, True, True, None, _by_name(node, now))
            else:
                before = known(catalog.session, pipeline_id, {name: source_key(node, connector)}).get(name)
                ran = before is not None and before.run_columns is not None
                changes = column_changes(before.run_columns or (), now) if before is not None and ran else []
                since = before.run_at if before is not None else None
                reader = StreamReader(pipeline_id, pipeline.name, name, False, ran, since, changes)
            readers[pipeline_id, name] = reader
    return sorted(readers.values(), key=lambda each: (each.pipeline, each.node))


def _by_name(node: Mapping[str, Any], now: Sequence[Field]) -> list[ColumnChange]:
    """Columns that are declared and not there, or there and not declared: how a document reads a column is its own."""
    declared = {str(each.get("name")): str(each.get("dataType")) for each in node["fields"]}
    there = {each.name: each.data_type for each in now}
    gone = [ColumnChange(name, kind, None) for name, kind in declared.items() if name not in there]
    return gone + [ColumnChange(name, None, kind) for name, kind in there.items() if name not in declared]
