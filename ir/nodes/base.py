"""What every node has."""

from __future__ import annotations

from ir.base import Doc, NodeId


class NodeBase(Doc):
    """A step of the pipeline. `inputs` lists the ids of the nodes (or `<branch>.<route>`) it reads from."""

    id: NodeId
    """What other nodes name it by."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The upstream references, in order; empty for a source."""
        return ()


class SingleInput(NodeBase):
    """A node that reads from exactly one other."""

    input: str
    """The node it reads from, or `<branch>.<route>`."""

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.input,)


def producer(reference: str) -> str:
    """The node behind a reference: `<branch>.<route>` is produced by the branch."""
    return reference.partition(".")[0]
