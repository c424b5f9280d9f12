"""The join node: rows of two inputs brought together by equal keys."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from ir.base import ColumnName, Doc
from ir.nodes.base import NodeBase


class JoinKey(Doc):
    """The column `left` of the first input must equal the column `right` of the second."""

    left: ColumnName
    """A column of the first input."""
    right: ColumnName
    """A column of the second."""


class JoinNode(NodeBase):
    """`inputs` are [left, right]. `semi` and `anti` keep left rows that have a match, or none; the other types add the
    right columns, but for its keys. A right column whose name the left has gets `suffix`. Nulls equal nothing."""

    kind: Literal["join"]
    input_nodes: tuple[str, str] = Field(alias="inputs")
    """The two nodes it reads from: left, right."""
    type: Literal["left", "inner", "full", "semi", "anti"]
    """Which rows come out."""
    on: tuple[JoinKey, ...] = Field(min_length=1, max_length=32)
    """The columns that must be equal."""
    suffix: Annotated[str, StringConstraints(min_length=1, max_length=50)] = "_right"
    """What a right column's name gets when the left has it too."""

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.input_nodes
