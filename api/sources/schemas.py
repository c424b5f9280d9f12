"""Request and response models of the sources of pipelines."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, JsonValue, StringConstraints, model_validator

from headrace.api.wire import ColumnType, Precision, RequestModel, ResponseModel, Scale, Timestamp
from headrace.ir.problems import fault


class FoundColumn(ResponseModel):
    """A column that was found in a source."""

    name: str
    """The column's name in the source."""
    data_type: ColumnType
    precision: Precision
    scale: Scale
    guessed: bool
    """Whether it is text in the source, with a type inferred from samples."""


class ChangedColumn(ResponseModel):
    """A column that is not as it was: new, gone, or of another type."""

    name: str
    """The column's name in the source."""
    before: str | None
    """The type that it had in the last run, such as `decimal(12, 2)`; null for a new column."""
    after: str | None
    """The type that it has now; null for a column that no longer exists."""


class SourceItem(ResponseModel):
    """A source node of the live IR, and what was last found there with its config."""

    node: str
    """The id of the source node."""
    connector: str
    """The `connector` of the node, such as `postgresql`."""
    connector_id: str | None = Field(description="The connector that it reads through; null if it does not exist")
    declared: bool = Field(description="Whether the node declares `fields`")
    columns: list[FoundColumn] | None = Field(description="The columns that were found; null if nobody has looked yet")
    found_at: Timestamp | None
    """When the columns were found; null if nobody has looked yet."""
    found_by: str | None = Field(description="A run's id, `plan`, `preview` or `discover`")
    last_run_id: str | None = Field(description="The last run that was planned with this config")
    last_run_at: Timestamp | None
    """When that run was planned; null without one."""
    changes: list[ChangedColumn] = Field(description="What is different from the columns that this run had")


class PipelineSources(ResponseModel):
    """The sources of a pipeline's live IR; none without one."""

    data: list[SourceItem]
    """The sources, in the order of the document."""


class CursorItem(ResponseModel):
    """How far a source was read for a target."""

    source: str
    """The id of the source node."""
    cursor: str = Field(description="`default`, or the name of a part of the source, such as a shard")
    target: str
    """The id of the target node; each target has its own position."""
    position: Any
    """How far the source was read, in the terms of its connector."""
    run_id: str | None = Field(description="The run that moved it there; null if somebody set it")
    set_by: str | None
    """The name of the API key that set it; null if a run moved it there."""
    updated_at: Timestamp
    """When it was last moved or set."""


class PipelineCursors(ResponseModel):
    """The cursors of a pipeline, by source, cursor and target."""

    data: list[CursorItem]
    """The cursors, by source, cursor and target."""


_Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class ChangeCursors(RequestModel):
    """Sets the cursor of a source to a `position`, or with `reset` forgets cursors: all, or those of a `source` or of a
    `cursor` of it. The next run then reads everything."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"source": "src", "position": {"updated_at": "2026-01-15T09:00:00+00:00", "id": 120000}}]
        }
    )

    source: _Name | None = None
    """The id of a source node; may be omitted with `reset`, for all sources."""
    cursor: _Name | None = None
    """The name of one of several cursors of the source, such as a shard; may be omitted otherwise."""
    position: JsonValue = None
    """The new position, in the terms of the connector, as `GET` returns it; not with `reset`."""
    reset: bool = False
    """Forget the cursors, so that the next run reads everything; not with `position`."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.reset == (self.position is not None):
            raise fault("invalid_change", "Give either a position or reset: true")
        if self.source is None and (not self.reset or self.cursor is not None):
            raise fault("missing_field", "'source' is required: the source node whose cursor it is")
        return self
