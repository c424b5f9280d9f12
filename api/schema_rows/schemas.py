"""Request and response models of rows and statistics."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from headrace.api.wire import RequestModel, ResponseModel, Timestamp
from headrace.catalog.schemas.statistics import StatisticsType


class DataPage(ResponseModel):
    """Rows of a schema's table by column name, without the column `_headrace_load_id`."""

    total: int
    """The number of rows of the table; an estimate above a million."""
    limit: int
    """The most rows of a page, as requested."""
    offset: int
    """How many rows were skipped, as requested."""
    rows: list[dict[str, Any]]
    """The rows, each with its values by column, in the order of the primary key."""


class InsertRows(RequestModel):
    """Rows by column name. Omitted columns get their default; decimals may be strings, to keep all digits."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"rows": [{"customer_id": 1, "name": "Ada"}]}]})

    rows: list[dict[str, Any]] = Field(min_length=1, max_length=10_000)
    """The rows, each with its values by column; all are inserted, or none."""


class InsertedRows(ResponseModel):
    """The number of inserted rows."""

    inserted: int
    """The number of new rows; rows whose key already existed are not counted."""
    table_name: str
    """The table in the PostgreSQL schema `public`: `ds_…`."""


class FieldStats(ResponseModel):
    """Statistics of one column; which there are depends on its type."""

    name: str
    """The column's name."""
    type: StatisticsType
    """The type of its values: all numbers are `numeric`, and `varchar` is `text`."""
    min: float | int | str | None = None
    """The smallest value, of numbers, dates and times; omitted for other types, null without values."""
    max: float | int | str | None = None
    """The largest value, of numbers, dates and times; omitted for other types, null without values."""
    avg: float | None = None
    """The mean, of numbers; omitted for other types, null without values."""
    distinct_count: int
    """The number of different values."""
    top_values: list[str] = Field(default_factory=list)
    """The ten most frequent values, of texts and Booleans, each cut after 200 characters; omitted for other types."""


class SchemaStats(ResponseModel):
    """Statistics of the columns of a schema's table."""

    fields: list[FieldStats]
    """Each column, in order; empty if the table does not exist."""
    row_count: int
    """The number of rows of the table; an estimate above a million."""
    sampled: bool
    """Whether the statistics are those of a random sample of about 200,000 rows."""
    computed_at: Timestamp
    """When they were computed."""
