"""Request and response models of the sources of pipelines."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, JsonValue, StringConstraints, model_validator

from headrace.api.wire import RequestModel, ResponseModel, Timestamp
from headrace.ir.problems import fault


class FoundColumn(ResponseModel):
    """A column that was found in a source. `guessed`: it is text, with a type inferred from samples."""

    name: str
    data_type: str
    precision: int | None
    scale: int | None
    guessed: bool


class ChangedColumn(ResponseModel):
    """A column that is not as it was: new (`before` is null), gone (`after` is null), or of another type."""

    name: str
    before: str | None
    after: str | None


class SourceItem(ResponseModel):
    """A source node of the live IR, and what was last found there with its config."""

    node: str
    connector: str
    connector_id: str | None = Field(description="The connector that it reads through; null if it does not exist")
    declared: bool = Field(description="Whether the node declares `fields`")
    columns: list[FoundColumn] | None = Field(description="The columns that were found; null if nobody has looked yet")
    found_at: Timestamp | None
    found_by: str | None = Field(description="A run's id, `plan`, `preview` or `discover`")
    last_run_id: str | None = Field(description="The last run that was planned with this config")
    last_run_at: Timestamp | None
    changes: list[ChangedColumn] = Field(description="What is different from the columns that this run had")


class PipelineSources(ResponseModel):
    """The sources of a pipeline's live IR; none without one."""

    data: list[SourceItem]


class CursorItem(ResponseModel):
    """How far a source was read for a target. `position` is in the words of the connector."""

    source: str
    cursor: str = Field(description="`default`, or the name of a part of the source, such as a shard")
    target: str
    position: Any
    run_id: str | None = Field(description="The run that moved it there; null if somebody set it")
    set_by: str | None
    updated_at: Timestamp


class PipelineCursors(ResponseModel):
    """The cursors of a pipeline, by source, cursor and target."""

    data: list[CursorItem]


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
    cursor: _Name | None = None
    position: JsonValue = None
    reset: bool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.reset == (self.position is not None):
            raise fault("invalid_change", "Give either a position or reset: true")
        if self.source is None and (not self.reset or self.cursor is not None):
            raise fault("missing_field", "'source' is required: the source node whose cursor it is")
        return self
