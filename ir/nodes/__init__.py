"""Every kind of node: one module each, one line in the union."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from ir.nodes.base import producer
from ir.nodes.branch import DROP, BranchNode
from ir.nodes.join import JoinNode
from ir.nodes.source import SourceNode
from ir.nodes.target import TargetNode
from ir.nodes.transform import TransformNode
from ir.nodes.validate import ValidateNode

AnyNode = SourceNode | TransformNode | ValidateNode | BranchNode | JoinNode | TargetNode
Node = Annotated[AnyNode, Field(discriminator="kind")]

NODES: dict[str, type[AnyNode]] = {
    get_args(model.model_fields["kind"].annotation)[0]: model for model in get_args(AnyNode)
}
"""Node models by kind."""

__all__ = [
    "DROP",
    "NODES",
    "AnyNode",
    "BranchNode",
    "JoinNode",
    "Node",
    "SourceNode",
    "TargetNode",
    "TransformNode",
    "ValidateNode",
    "producer",
]
