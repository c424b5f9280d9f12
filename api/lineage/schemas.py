"""The shapes of lineage on the wire."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from api.pipelines.schemas import SchemaRef
from api.wire import Shown


class Lineage(Shown):
    """The load a row belongs to."""

    run_id: str
    pipeline_id: str
    source_node_id: str


class LineageRow(Shown):
    """A row and its load; null for a row that no run loaded."""

    row: dict[str, Any]
    lineage: Lineage | None


class LineagePage(Shown):
    """The newest rows of a table; `lineageColumn` holds the load of each."""

    schema_: SchemaRef = Field(alias="schema")
    table: str
    lineage_column: str
    rows: list[LineageRow]
    count: int
