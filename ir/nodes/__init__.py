"""Every kind of node: one module each, one line in the union."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from ir.nodes.archive import ArchiveNode
from ir.nodes.base import producer
from ir.nodes.branch import DROP, BranchNode
from ir.nodes.enrich import AnyEnrichNode, EnrichNode
from ir.nodes.join import JoinNode
from ir.nodes.source import SourceNode
from ir.nodes.target import TargetNode
from ir.nodes.transform import TransformNode
from ir.nodes.validate import ValidateNode

AnyNode = SourceNode | TransformNode | ValidateNode | BranchNode | JoinNode | EnrichNode | TargetNode | ArchiveNode
Node = Annotated[
    SourceNode | TransformNode | ValidateNode | BranchNode | JoinNode | AnyEnrichNode | TargetNode | ArchiveNode,
    Field(discriminator="kind"),
]
"""A node; those of kind `enrich` are told apart by their `provider`."""

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
