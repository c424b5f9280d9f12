"""Response models of row lineage."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from headrace.api.pipelines.schemas import SchemaRef
from headrace.api.wire import ResponseModel


class Lineage(ResponseModel):
    """The run and source node that loaded a row."""

    run_id: str
    pipeline_id: str
    source_node_id: str


class LineageRow(ResponseModel):
    """A row and its lineage, which is null for a row that no run loaded."""

    row: dict[str, Any]
    lineage: Lineage | None


class LineagePage(ResponseModel):
    """The newest rows of a table; `lineageColumn` is the column with the load id of each row."""

    schema_: SchemaRef = Field(alias="schema")
    table: str
    lineage_column: str
    rows: list[LineageRow]
    count: int
