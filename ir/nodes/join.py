"""The join node: joins the rows of two inputs on equal keys."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from headrace.ir.base import ColumnName, Doc
from headrace.ir.nodes.base import NodeBase


class JoinKey(Doc):
    """The column `left` of the first input must equal the column `right` of the second."""

    left: ColumnName
    """A column of the first input."""
    right: ColumnName
    """A column of the second."""


class JoinNode(NodeBase):
    """`inputs` are [left, right]. `semi` and `anti` keep left rows that have a match, or none; the other types add the
    right columns, except its keys. A right column with the name of a left one gets `suffix`. A null key matches
    nothing."""

    kind: Literal["join"]
    input_nodes: tuple[str, str] = Field(alias="inputs")
    """The two nodes it reads from: [left, right]."""
    type: Literal["left", "inner", "full", "semi", "anti"]
    """The type of join."""
    on: tuple[JoinKey, ...] = Field(min_length=1, max_length=32)
    """The columns that must be equal."""
    suffix: Annotated[str, StringConstraints(min_length=1, max_length=50)] = "_right"
    """The suffix of right columns whose name is also a left column."""

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.input_nodes
