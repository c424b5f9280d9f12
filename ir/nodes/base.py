"""The base of nodes."""

from __future__ import annotations

from headrace.ir.base import Doc, NodeId


class NodeBase(Doc):
    """A step of the pipeline. `inputs` lists the ids of the nodes (or `<branch>.<route>`) it reads from."""

    id: NodeId
    """The id that other nodes refer to."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The nodes it reads from, in order; empty for a source."""
        return ()


class SingleInput(NodeBase):
    """A node that reads from exactly one other node."""

    input: str
    """The node it reads from, or `<branch>.<route>`."""

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.input,)


def producer(reference: str) -> str:
    """Returns the node id of a reference: the branch of `<branch>.<route>`."""
    return reference.partition(".")[0]
