"""The targets that a failed row can still reach.

After a fan-out a row takes every path. Where it failed on one, the others are done: it was loaded there, or left out
for good. After a branch it takes one path. Where it failed on that, it may take another one when it is run again,
because a condition was corrected.
"""

from __future__ import annotations

from headrace.flows.compile.stages.stage import Load, NodeChain

OpenTargets = dict[str, tuple[str, ...]]
"""By node at which a row failed, the targets that it can still reach."""


def ways(trunk: NodeChain) -> OpenTargets:
    """The targets by node, for all nodes of a stage."""
    return _ways(trunk, ())


def _ways(node_chain: NodeChain, beside: tuple[str, ...]) -> OpenTargets:
    """`beside` are the targets on other routes of the branches upstream."""
    found = dict.fromkeys(node_chain.nodes, tuple(dict.fromkeys((*_targets(node_chain), *beside))))
    for edge in node_chain.edges:
        others = [each.node_chain for each in node_chain.edges if each.route != edge.route]
        found |= _ways(edge.node_chain, (*beside, *(target for other in others for target in _targets(other))))
    return found


def _targets(node_chain: NodeChain) -> list[str]:
    return [sink.id for sink in node_chain.sinks if isinstance(sink, Load)]
