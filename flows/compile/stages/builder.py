"""Builds the stages of a plan, each from its root to its sinks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from headrace.connectors.datatypes import field_of_polars
from headrace.connectors.source import ROW, Discovery
from headrace.flows.compile.dataset_rules.base import Branch, NodeAudit
from headrace.flows.compile.logical_node import LogicalNode
from headrace.flows.compile.stages.segment import fuse
from headrace.flows.compile.stages.stage import Audit, Edge, Load, NodeChain, ShuffleRead, ShuffleWrite, Stage
from headrace.flows.compile.step import Step
from headrace.ir import PipelineIR
from headrace.ir.nodes import BranchNode, SourceNode, TargetNode, ValidateNode, producer

StageRoot = tuple[str, int]
"""The root of a stage: a source (its id, -1), or a step of a node that gathers rows (its id, the step's position).
Positions after a node's own steps are the shuffles for its dataset rules, by the branch of its audit."""


@dataclass(slots=True)
class _StageDraft:
    """A stage that is being built."""

    index: int
    root: str
    after: set[int] = field(default_factory=set)


class Builder:
    """Builds each stage when the first target that it leads to is reached, after the stages it depends on. Stages that
    gather rows have no partitions yet."""

    def __init__(
        self,
        ir: PipelineIR,
        nodes: Mapping[str, LogicalNode],
        discoveries: Mapping[str, Discovery],
    ) -> None:
        self.stages: list[Stage] = []
        self.audits: list[NodeAudit] = []
        self._nodes, self._discoveries = nodes, discoveries
        self._built: dict[StageRoot, Stage] = {}
        self._numbers = {
            node.id: number
            for number, node in enumerate(
                node for node in ir.nodes if isinstance(node, TargetNode) and node.id in nodes
            )
        }
        self._senders: dict[tuple[str, int], Stage] = {}
        living = _leading(self._numbers, nodes)
        self._held_back = _downstream(
            {name for name, node in nodes.items() if node.audit is not None and node.audit.holds_back}, ir
        )
        self._readers: dict[str, list[tuple[str, int]]] = {}
        for node in ir.nodes:
            for position, reference in enumerate(node.inputs):
                if node.id in living:
                    self._readers.setdefault(reference, []).append((node.id, position))

    def reach(self, node: str) -> None:
        """Builds the stages that lead to a node."""
        for place in self._before(node, len(self._nodes[node].steps)):
            self._build(place)

    def reach_audits(self) -> None:
        """Builds the stages that only measure rows, last, so that they do not change the numbers of the others."""
        for audit in self.audits:
            for number, branch in enumerate(audit.branches):
                if branch.shuffle is not None:
                    self._build((audit.node, len(self._nodes[audit.node].steps) + number))

    def _before(self, node: str, step: int) -> Iterator[StageRoot]:
        """The place that the input rows of a step come from; for a join, those of all inputs."""
        compiled = self._nodes[node]
        for position in range(min(step, len(compiled.steps)) - 1, -1, -1):
            if compiled.steps[position].shuffle is not None:
                yield node, position
                return
        if isinstance(compiled.node, SourceNode):
            yield node, -1
        for reference in compiled.node.inputs:
            before = producer(reference)
            yield from self._before(before, len(self._nodes[before].steps))

    def _build(self, place: StageRoot) -> None:
        if place in self._built:
            return
        node, position = place
        compiled = self._nodes[node]
        if position >= 0:
            for before in self._before(node, position):
                self._build(before)
        index = len(self.stages)
        growing = _StageDraft(index, node)
        if position < len(compiled.steps):
            trunk = _owning(self._grow(node, position + 1, (), growing))
        else:
            number = position - len(compiled.steps)
            trunk = self._measured(node, number, self._branches(node)[number], (), growing)
        names = dict.fromkeys(name for node_chain in trunk for name in node_chain.nodes)
        quarantine = {
            name: found.quarantine.table
            for name in names
            if isinstance(found := self._nodes[name].node, ValidateNode) and found.quarantine is not None
        }
        stage = Stage(
            index=index,
            root=compiled.node if isinstance(compiled.node, SourceNode) else self._gathering(node, position),
            trunk=trunk,
            schema=(),
            partitions=(),
            quarantine=quarantine,
            private={name: self._nodes[name].private for name in names},
        )
        if (exchange := stage.exchange) is None:
            seen = self._discoveries[node]
            stage = replace(stage, schema=seen.schema, partitions=tuple(seen.partitions), hidden=compiled.private)
        else:
            step = self._step(node, position)
            senders = [self._senders[exchange.id, side] for side in range(len(exchange.shuffle.sides))]
            columns = step.output_schema(*(side.schema for side in exchange.shuffle.sides))
            stage = replace(
                stage,
                root=replace(exchange, sent=tuple(map(_expected, senders))),
                schema=tuple(field_of_polars(name, dtype) for name, dtype in columns.items() if name != ROW),
                after=tuple(sorted({sender.index for sender in senders})),
                hidden=step.hidden,
            )
        self._built[place] = stage
        self.stages.append(stage)
        for sink in stage.sinks:
            if isinstance(sink, ShuffleWrite):
                self._senders[sink.exchange, sink.side] = stage

    def _gathering(self, node: str, position: int) -> ShuffleRead:
        step = self._step(node, position)
        assert step.shuffle is not None
        return ShuffleRead(self._id(node, position), node, step.label, step.shuffle)

    def _step(self, node: str, position: int) -> Step:
        steps = self._nodes[node].steps
        if position < len(steps):
            return steps[position]
        step = self._branches(node)[position - len(steps)].shuffle
        assert step is not None
        return step

    def _branches(self, node: str) -> tuple[Branch, ...]:
        audit = self._nodes[node].audit
        return audit.branches if audit is not None else ()

    def _id(self, node: str, position: int) -> str:
        """The id of a shuffle: those of a node count from 0, those for its dataset rules separately."""
        steps = self._nodes[node].steps
        if position >= len(steps):
            return f"{node}.rules.{position - len(steps)}"
        before = sum(step.shuffle is not None for step in steps[:position])
        return f"{node}.{before}"

    def _grow(self, node: str, begin: int, before: tuple[str, ...], growing: _StageDraft, side: int = 0) -> NodeChain:
        """The node_chain that begins with step `begin` of a node, downstream of the nodes `before`."""
        nodes: list[str] = []
        steps: list[Step] = []
        while True:
            nodes.append(node)
            compiled = self._nodes[node]
            for position in range(begin, len(compiled.steps)):
                if (shuffle := compiled.steps[position].shuffle) is not None:
                    path = (*before, *nodes)
                    columns = tuple(name for name in shuffle.sides[side].schema if name != ROW)
                    sending = ShuffleWrite(self._id(node, position), node, side, growing.index, path, (), columns)
                    return NodeChain(tuple(nodes), tuple(fuse(steps)), sending)
                steps.append(compiled.steps[position])
            if isinstance(compiled.node, TargetNode):
                load = Load(
                    target=compiled.node,
                    number=self._numbers[node],
                    stage=growing.index,
                    path=(*before, *nodes),
                    owned=(),
                    columns=compiled.written,
                    root=growing.root,
                    audited=node in self._held_back,
                    added=compiled.added,
                    private=compiled.private,
                    cells=compiled.cells,
                )
                return NodeChain(tuple(nodes), tuple(fuse(steps)), load)
            readers = self._readers.get(node, [])
            if (audit := compiled.audit) is not None:
                self.audits.append(audit)
                path = (*before, *nodes)
                ends = [self._outlet(node, *numbered, path, growing) for numbered in enumerate(audit.branches)]
                # Sinks get a batch in order: it is loaded before it is measured.
                edges = (*self._outlets(compiled, path, growing), *ends)
                return NodeChain(tuple(nodes), tuple(fuse(steps)), edges=edges)
            if isinstance(compiled.node, BranchNode) or len(readers) != 1:
                edges = tuple(self._outlets(compiled, (*before, *nodes), growing))
                return NodeChain(tuple(nodes), tuple(fuse(steps)), edges=edges)
            ((node, side),) = readers
            begin = 0

    def _outlet(self, node: str, number: int, branch: Branch, path: tuple[str, ...], growing: _StageDraft) -> Edge:
        """The edge to where rows are measured: in this stage, or in a later one."""
        if branch.shuffle is None:
            return Edge(None, self._measured(node, number, branch, path, growing, looks=True))
        assert branch.shuffle.shuffle is not None
        columns = tuple(name for name in branch.shuffle.shuffle.sides[0].schema if name != ROW)
        sending = ShuffleWrite(f"{node}.rules.{number}", node, 0, growing.index, path, (), columns)
        return Edge(None, NodeChain((), (), sending))

    def _measured(
        self,
        node: str,
        number: int,
        branch: Branch,
        path: tuple[str, ...],
        growing: _StageDraft,
        *,
        looks: bool = False,
    ) -> NodeChain:
        compiled = self._nodes[node].audit
        steps = compiled.looks if compiled is not None and looks else ()
        audit = Audit(f"{node}.rules.{number}.measured", node, growing.index, path, (), branch.measures)
        return NodeChain((), tuple(fuse(steps)), audit)

    def _outlets(self, compiled: LogicalNode, before: tuple[str, ...], growing: _StageDraft) -> Iterator[Edge]:
        if not isinstance(compiled.node, BranchNode):
            for reader, side in self._readers.get(compiled.node.id, []):
                yield Edge(None, self._grow(reader, 0, before, growing, side))
            return
        for position, route in enumerate(compiled.node.names):
            for reader, side in self._readers.get(f"{compiled.node.id}.{route}", []):
                yield Edge(position, self._grow(reader, 0, before, growing, side))


def _leading(targets: Iterable[str], nodes: Mapping[str, LogicalNode]) -> set[str]:
    """The nodes upstream of these targets, and the targets."""
    found: set[str] = set()
    pending = list(targets)
    while pending:
        if (node := pending.pop()) not in found:
            found.add(node)
            pending += [producer(reference) for reference in nodes[node].node.inputs]
    return found


def _downstream(nodes: Iterable[str], ir: PipelineIR) -> set[str]:
    """These nodes and all downstream of them."""
    found = set(nodes)
    grown = True
    while grown:
        more = {node.id for node in ir.nodes if any(producer(each) in found for each in node.inputs)} - found
        found |= more
        grown = bool(more)
    return found


def _owning(trunk: NodeChain) -> NodeChain:
    """The tree with every node owned by its first downstream sink."""
    owned: dict[str, list[str]] = {}
    for node_chain in trunk:
        owned.setdefault(node_chain.sinks[0].id, []).extend(node_chain.nodes)

    def settled(node_chain: NodeChain) -> NodeChain:
        edges = tuple(replace(edge, node_chain=settled(edge.node_chain)) for edge in node_chain.edges)
        sink = node_chain.sink and replace(node_chain.sink, owned=tuple(owned[node_chain.sink.id]))
        return replace(node_chain, sink=sink, edges=edges)

    return settled(trunk)


def _expected(stage: Stage) -> int:
    return stage.rows if stage.exchange is None else stage.exchange.rows
