"""The shapes of column lineage on the wire, in the terms of OpenLineage's column lineage facet."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api.wire import Shown

Subtype = Literal[
    "IDENTITY", "TRANSFORMATION", "AGGREGATION", "FILTER", "JOIN", "GROUP_BY", "SORT", "WINDOW", "CONDITIONAL"
]


class LineageUse(Shown):
    """How a column is used. `DIRECT`: its values get there; `INDIRECT`: it only decides. `masking`: its values cannot
    be read off the result."""

    type: Literal["DIRECT", "INDIRECT"]
    subtype: Subtype
    masking: bool = False


class LineageInput(Shown):
    """A column of the source node `node`, or of the `table` that rows are looked up in."""

    node: str | None
    table: str | None
    field: str
    transformations: list[LineageUse]


class LineageStep(Shown):
    """An op, a rule or another step of a node; `path` is its place in the document."""

    node: str
    path: str
    label: str


class ColumnLineage(Shown):
    """A column of a table: the columns it comes from (none for a constant or a count of rows), and the steps that made
    or changed it, in their order."""

    name: str
    input_fields: list[LineageInput]
    steps: list[LineageStep]


class RowLineage(LineageInput):
    """A column that decides which rows there are or how they come together, and the steps that do so by it."""

    steps: list[LineageStep]


class TargetLineage(Shown):
    """The lineage of what a target loads; `dataset` concerns all its columns."""

    node: str
    table: str
    fields: list[ColumnLineage]
    dataset: list[RowLineage]


class UnknownNode(Shown):
    """A node whose columns are not known before a run, and why."""

    node: str
    reason: str


class IrLineage(Shown):
    """What an IR says of its columns; targets that are not here are among `unknown`."""

    version: int
    targets: list[TargetLineage] = Field(description="In the order in which rows reach them")
    unknown: list[UnknownNode]
