"""The transform node: an ordered list of ops."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ir.nodes.base import SingleInput
from ir.ops import Op


class TransformNode(SingleInput):
    """Applies `ops` in order; each sees the columns the one before left."""

    kind: Literal["transform"]
    ops: tuple[Op, ...] = Field(min_length=1)
    """What is done, in this order."""
