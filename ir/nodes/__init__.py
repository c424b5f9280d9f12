"""The kinds of nodes, as a union of their models."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from headrace.ir.nodes.archive import ArchiveNode
from headrace.ir.nodes.base import producer
from headrace.ir.nodes.branch import DROP, BranchNode
from headrace.ir.nodes.join import JoinNode
from headrace.ir.nodes.source import SourceNode
from headrace.ir.nodes.target import TargetNode
from headrace.ir.nodes.transform import AnyEnrichNode, EnrichNode, TransformNode
from headrace.ir.nodes.validate import ValidateNode

AnyNode = SourceNode | TransformNode | ValidateNode | BranchNode | JoinNode | EnrichNode | TargetNode | ArchiveNode
Node = Annotated[
    SourceNode | TransformNode | ValidateNode | BranchNode | JoinNode | AnyEnrichNode | TargetNode | ArchiveNode,
    Field(discriminator="kind"),
]
"""A node. The discriminator is `kind`, and `provider` among enrich nodes."""

NODES: dict[str, type[AnyNode]] = {
    get_args(model.model_fields["kind"].annotation)[0]: model for model in get_args(AnyNode)
}
"""Node models by kind."""

__all__ = [
    "DROP",
    "NODES",
    "AnyNode",
    "ArchiveNode",
    "BranchNode",
    "EnrichNode",
    "JoinNode",
    "Node",
    "SourceNode",
    "TargetNode",
    "TransformNode",
    "ValidateNode",
    "producer",
]
