"""The sources of a pipeline's live IR, with what was last found in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.api.context import RequestContext
from headrace.api.ir.found import all_found, connection_of, source_nodes
from headrace.api.pipelines.service import owned_pipeline
from headrace.api.sources.schemas import ChangedColumn, FoundColumn, PipelineSources, SourceItem
from headrace.catalog.found_columns import FoundSource, column_changes
from headrace.ir.schema import Field


def get_sources(context: RequestContext, pipeline_id: str) -> PipelineSources:
    """The sources in the order of the document. Raises ApiError 404."""
    with context.reading() as catalog:
        pipeline = owned_pipeline(catalog, pipeline_id)
        live = catalog.pipelines.ir_version(pipeline)
        if live is None:
            return PipelineSources(data=[])
        found = all_found(catalog, pipeline, live.ir)
        items = []
        for name, node in source_nodes(live.ir).items():
            connector = connection_of(catalog, pipeline, node)
            items.append(_item(name, node, connector.id if connector is not None else None, found.get(name)))
        return PipelineSources(data=items)


def _item(name: str, node: Mapping[str, Any], connector_id: str | None, found: FoundSource | None) -> SourceItem:
    item = SourceItem(
        node=name,
        connector=node["connector"],
        connector_id=connector_id,
        declared=bool(node.get("fields")),
        columns=None,
        found_at=None,
        found_by=None,
        last_run_id=None,
        last_run_at=None,
        changes=[],
    )
    if found is None:
        return item
    changes = column_changes(found.run_columns, found.columns) if found.run_columns is not None else []
    return item.model_copy(
        update={
            "columns": [_column(each, guessed=each.name in found.guessed) for each in found.columns],
            "found_at": found.at,
            "found_by": found.by,
            "last_run_id": found.run_id,
            "last_run_at": found.run_at,
            "changes": [ChangedColumn.model_validate(each) for each in changes],
        }
    )


def _column(column: Field, *, guessed: bool) -> FoundColumn:
    return FoundColumn(
        name=column.name,
        data_type=column.data_type,
        precision=column.precision,
        scale=column.scale,
        guessed=guessed,
    )
