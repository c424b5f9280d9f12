"""Response models of column lineage, in the terms of OpenLineage's column lineage facet."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from headrace.api.wire import ResponseModel, Timestamp

Subtype = Literal[
    "IDENTITY", "TRANSFORMATION", "AGGREGATION", "FILTER", "JOIN", "GROUP_BY", "SORT", "WINDOW", "CONDITIONAL"
]


class LineageUse(ResponseModel):
    """How a column is used. `DIRECT`: the result contains or derives from its values; `INDIRECT`: it only influences
    the result. `masking`: its values cannot be recovered from the result."""

    type: Literal["DIRECT", "INDIRECT"]
    subtype: Subtype
    masking: bool = False


class LineageInput(ResponseModel):
    """A column of the source node `node`, or of the lookup table `table`."""

    node: str | None
    table: str | None
    field: str
    transformations: list[LineageUse]


class LineageStep(ResponseModel):
    """An op, a rule or another step of a node; `path` is its place in the IR."""

    node: str
    path: str
    label: str


class ColumnLineage(ResponseModel):
    """A column of a target table: the columns it comes from (none for a constant or a count of rows), and the steps
    that create or change it, in order."""

    name: str
    input_fields: list[LineageInput]
    steps: list[LineageStep]


class RowLineage(LineageInput):
    """A column by which rows are filtered, joined, grouped or ordered, and the steps that do so."""

    steps: list[LineageStep]


class TargetLineage(ResponseModel):
    """The lineage of a target; `dataset` applies to all its columns."""

    node: str
    table: str
    fields: list[ColumnLineage]
    dataset: list[RowLineage]


class UnknownNode(ResponseModel):
    """A node whose columns are not known before a run, and the reason."""

    node: str
    reason: str


class IrLineage(ResponseModel):
    """The column lineage of an IR; targets without known lineage are listed in `unknown`."""

    version: int
    targets: list[TargetLineage] = Field(description="In the order in which rows reach them")
    unknown: list[UnknownNode]
    found_at: dict[str, Timestamp] = Field(
        default_factory=dict,
        exclude_if=lambda found: not found,  # the documented shape has no such field
        description="Sources without `fields` whose columns are those that were last found, and when that was",
    )
