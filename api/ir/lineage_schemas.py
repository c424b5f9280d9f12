"""Response models of column lineage, in the terms of OpenLineage's column lineage facet."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from headrace.api.wire import ResponseModel, Timestamp

Subtype = Literal[
    "IDENTITY", "TRANSFORMATION", "AGGREGATION", "FILTER", "JOIN", "GROUP_BY", "SORT", "WINDOW", "CONDITIONAL"
]


class LineageUse(ResponseModel):
    """How a column is used."""

    type: Literal["DIRECT", "INDIRECT"]
    """`DIRECT`: the result contains or derives from its values. `INDIRECT`: it only influences the result."""
    subtype: Subtype
    """How it is used, in the terms of OpenLineage."""
    masking: bool = False
    """Whether its values cannot be recovered from the result."""


class LineageInput(ResponseModel):
    """A column of a source node or of a lookup table."""

    node: str | None
    """The source node; null for a column of a lookup table."""
    table: str | None
    """The lookup table; null for a column of a source node."""
    field: str
    """The column's name there."""
    transformations: list[LineageUse]
    """How it is used; several if it is used in several ways."""


class LineageStep(ResponseModel):
    """An op, a rule or another step of a node."""

    node: str
    """The id of the node."""
    path: str
    """The place of the step in the IR, such as `nodes[1].ops[0]`."""
    label: str
    """What it does, in a few words."""


class ColumnLineage(ResponseModel):
    """A column of a target table, with the columns it comes from and the steps between."""

    name: str
    """The column's name in the target table."""
    input_fields: list[LineageInput]
    """The columns that it comes from; none for a constant or a count of rows."""
    steps: list[LineageStep]
    """The steps that create or change it, in order."""


class RowLineage(LineageInput):
    """A column by which rows are filtered, joined, grouped or ordered, and the steps that do so."""

    steps: list[LineageStep]
    """The steps that filter, join, group or order rows by it."""


class TargetLineage(ResponseModel):
    """The lineage of a target."""

    node: str
    """The target node."""
    table: str
    """The table that it loads, such as `public.ds_orders`."""
    fields: list[ColumnLineage]
    """The columns of the table that are loaded."""
    dataset: list[RowLineage]
    """The columns that decide which rows are loaded, for all columns of the table."""


class UnknownNode(ResponseModel):
    """A node whose columns are not known before a run, and the reason."""

    node: str
    """The id of the node."""
    reason: str
    """Why its columns are not known, for people."""


class IrLineage(ResponseModel):
    """The column lineage of an IR; targets without known lineage are listed in `unknown`."""

    version: int
    """The version of the IR."""
    targets: list[TargetLineage] = Field(description="In the order in which rows reach them")
    unknown: list[UnknownNode]
    """The nodes whose columns are not known before a run."""
    found_at: dict[str, Timestamp] = Field(
        default_factory=dict,
        exclude_if=lambda found: not found,  # the documented shape has no such field
        description="Sources without `fields` whose columns are those that were last found, and when that was",
    )
