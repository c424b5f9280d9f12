"""Request and response models of rows and statistics."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from headrace.api.wire import RequestModel, ResponseModel, Timestamp


class DataPage(ResponseModel):
    """Rows of a schema's table by column name, without the column `_headrace_load_id`."""

    total: int
    limit: int
    offset: int
    rows: list[dict[str, Any]]


class InsertRows(RequestModel):
    """Rows by column name. Omitted columns get their default; decimals may be strings, to keep all digits."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"rows": [{"customer_id": 1, "name": "Ada"}]}]})

    rows: list[dict[str, Any]] = Field(min_length=1, max_length=10_000)


class InsertedRows(ResponseModel):
    """The number of inserted rows."""

    inserted: int
    table_name: str


class FieldStats(ResponseModel):
    """One column: numbers have `min`, `max` and `avg`, dates and times the first two, text and booleans `topValues`."""

    name: str
    type: str
    min: float | int | str | None = None
    max: float | int | str | None = None
    avg: float | None = None
    distinct_count: int
    top_values: list[str] = Field(default_factory=list)


class SchemaStats(ResponseModel):
    """Statistics per column, their time, the number of rows, and whether they are from a sample."""

    fields: list[FieldStats]
    row_count: int
    sampled: bool
    computed_at: Timestamp
