"""The shapes of rows and of statistics on the wire."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from api.wire import Body, Shown, Timestamp


class DataPage(Shown):
    """Rows of a schema's table by column name; without the loader's own column."""

    total: int
    limit: int
    offset: int
    rows: list[dict[str, Any]]


class InsertRows(Body):
    """Rows by column name. Columns a row leaves out get their default; decimals may be text, to keep every digit."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"rows": [{"customer_id": 1, "name": "Ada"}]}]})

    rows: list[dict[str, Any]] = Field(min_length=1, max_length=10_000)


class InsertedRows(Shown):
    """How many rows are new."""

    inserted: int
    table_name: str


class FieldStats(Shown):
    """One column: numbers have `min`, `max` and `avg`, dates and times the first two, text and booleans `topValues`."""

    name: str
    type: str
    min: float | int | str | None = None
    max: float | int | str | None = None
    avg: float | None = None
    distinct_count: int
    top_values: list[str] = Field(default_factory=list)


class SchemaStats(Shown):
    """Statistics per column, when they were made, of how many rows, and whether of a sample of them only."""

    fields: list[FieldStats]
    row_count: int
    sampled: bool
    computed_at: Timestamp
