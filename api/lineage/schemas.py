"""Response models of row lineage."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from headrace.api.pipelines.schemas import SchemaRef
from headrace.api.wire import PipelineId, ResponseModel, RunId


class Lineage(ResponseModel):
    """The run and source node that loaded a row."""

    run_id: RunId
    pipeline_id: PipelineId
    source_node_id: str
    """The source node of the IR that the row came from."""


class LineageRow(ResponseModel):
    """A row and its lineage."""

    row: dict[str, Any]
    """The values by column."""
    lineage: Lineage | None
    """Where the row came from; null for a row that no run loaded."""


class LineagePage(ResponseModel):
    """The newest rows of a table."""

    schema_: SchemaRef = Field(alias="schema")
    """The schema that the table belongs to."""
    table: str
    """The table, such as `public.ds_orders`."""
    lineage_column: str
    """The column with the load id of each row."""
    rows: list[LineageRow]
    """The rows, newest first."""
    count: int
    """The number of rows in this response."""
