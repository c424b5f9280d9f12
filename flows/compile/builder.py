"""Building the stages of a plan, each from what its rows come from to where they end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from connectors.base import ROW, Discovery, Partition
from connectors.types import field_of_polars
from flows.compile.dataset_rules.base import Branch, NodeAudit
from flows.compile.gather import bucket_count
from flows.compile.logical import LogicalNode
from flows.compile.segment import fuse
from flows.compile.stage import Audit, Gathering, Load, Outlet, Sending, Stage, Stretch
from flows.compile.step import Step
from ir import PipelineIR
from ir.nodes import BranchNode, SourceNode, TargetNode, ValidateNode, producer

Place = tuple[str, int]
"""Where a stage's rows come from: a source (its id, -1), or the step of a node (its id, the step) that gathers them.
Behind a node's own steps are counted those that gather rows for its dataset rules, by the branch of its audit."""


@dataclass(slots=True)
class _Growing:
    """A stage that is being built."""

    index: int
    root: str
    after: set[int] = field(default_factory=set)


class Builder:
    """Makes each stage when the first target that it leads to is reached, behind those it comes after."""

    def __init__(
        self,
        ir: PipelineIR,
        nodes: Mapping[str, LogicalNode],
        discoveries: Mapping[str, Discovery],
        parallelism: int,
        buckets: Mapping[str, int],
    ) -> None:
        self.stages: list[Stage] = []
        self.audits: list[NodeAudit] = []
        self._nodes, self._discoveries = nodes, discoveries
        self._parallelism, self._buckets = parallelism, buckets
        self._built: dict[Place, Stage] = {}
        self._numbers = {
            node.id: number
            for number, node in enumerate(
                node for node in ir.nodes if isinstance(node, TargetNode) and node.id in nodes
            )
        }
        self._senders: dict[tuple[str, int], Stage] = {}
        living = _leading(self._numbers, nodes)
        self._held_back = _behind(
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
        """Builds the stages that only measure rows: the last, so that the others are numbered as without them."""
        for audit in self.audits:
            for number, branch in enumerate(audit.branches):
                if branch.gather is not None:
                    self._build((audit.node, len(self._nodes[audit.node].steps) + number))

    def _before(self, node: str, step: int) -> Iterator[Place]:
        """The place that the rows before a step of a node come from; those of all inputs, for a join's."""
        compiled = self._nodes[node]
        for position in range(min(step, len(compiled.steps)) - 1, -1, -1):
            if compiled.steps[position].gather is not None:
                yield node, position
                return
        if isinstance(compiled.node, SourceNode):
            yield node, -1
        for reference in compiled.node.inputs:
            before = producer(reference)
            yield from self._before(before, len(self._nodes[before].steps))

    def _build(self, place: Place) -> None:
        if place in self._built:
            return
        node, position = place
        compiled = self._nodes[node]
        if position >= 0:
            for before in self._before(node, position):
                self._build(before)
        index = len(self.stages)
        growing = _Growing(index, node)
        if position < len(compiled.steps):
            trunk = _owning(self._grow(node, position + 1, (), growing))
        else:
            number = position - len(compiled.steps)
            trunk = self._measured(node, number, self._branches(node)[number], (), growing)
        names = dict.fromkeys(name for stretch in trunk for name in stretch.nodes)
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
        if (gathering := stage.gathering) is None:
            seen = self._discoveries[node]
            stage = replace(stage, schema=seen.schema, partitions=tuple(seen.partitions), hidden=compiled.private)
        else:
            step = self._step(node, position)
            senders = [self._senders[gathering.id, side] for side in range(len(gathering.gather.sides))]
            rows = [_expected(sender) for sender in senders]
            many = self._buckets.get(gathering.id) or bucket_count(gathering.gather, rows, self._parallelism)
            columns = step.schema_behind(*(side.schema for side in gathering.gather.sides))
            stage = replace(
                stage,
                root=replace(gathering, rows=sum(rows)),
                schema=tuple(field_of_polars(name, dtype) for name, dtype in columns.items() if name != ROW),
                partitions=tuple(Partition(bucket, 1, 0, {"bucket": bucket}) for bucket in range(many)),
                after=tuple(sorted({sender.index for sender in senders})),
                hidden=step.hidden,
            )
        self._built[place] = stage
        self.stages.append(stage)
        for sink in stage.sinks:
            if isinstance(sink, Sending):
                self._senders[sink.gathering, sink.side] = stage

    def _gathering(self, node: str, position: int) -> Gathering:
        step = self._step(node, position)
        assert step.gather is not None
        return Gathering(self._id(node, position), node, step.label, step.gather, 0)

    def _step(self, node: str, position: int) -> Step:
        steps = self._nodes[node].steps
        if position < len(steps):
            return steps[position]
        step = self._branches(node)[position - len(steps)].gather
        assert step is not None
        return step

    def _branches(self, node: str) -> tuple[Branch, ...]:
        audit = self._nodes[node].audit
        return audit.branches if audit is not None else ()

    def _id(self, node: str, position: int) -> str:
        """The gatherings of a node are counted from 0; those for dataset rules by themselves."""
        steps = self._nodes[node].steps
        if position >= len(steps):
            return f"{node}.rules.{position - len(steps)}"
        before = sum(step.gather is not None for step in steps[:position])
        return f"{node}.{before}"

    def _grow(self, node: str, begin: int, before: tuple[str, ...], growing: _Growing, side: int = 0) -> Stretch:
        """The stretch from a step of a node on, which is reached by the nodes `before`."""
        nodes: list[str] = []
        steps: list[Step] = []
        while True:
            nodes.append(node)
            compiled = self._nodes[node]
            for position in range(begin, len(compiled.steps)):
                if (gather := compiled.steps[position].gather) is not None:
                    path = (*before, *nodes)
                    columns = tuple(name for name in gather.sides[side].schema if name != ROW)
                    sending = Sending(self._id(node, position), node, side, growing.index, path, (), columns)
                    return Stretch(tuple(nodes), tuple(fuse(steps)), sending)
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
                )
                return Stretch(tuple(nodes), tuple(fuse(steps)), load)
            readers = self._readers.get(node, [])
            if (audit := compiled.audit) is not None:
                self.audits.append(audit)
                path = (*before, *nodes)
                ends = [self._outlet(node, *numbered, path, growing) for numbered in enumerate(audit.branches)]
                # Rows are offered to sinks in order: what is measured of a batch stands behind what is loaded of it.
                outlets = (*self._outlets(compiled, path, growing), *ends)
                return Stretch(tuple(nodes), tuple(fuse(steps)), outlets=outlets)
            if isinstance(compiled.node, BranchNode) or len(readers) != 1:
                outlets = tuple(self._outlets(compiled, (*before, *nodes), growing))
                return Stretch(tuple(nodes), tuple(fuse(steps)), outlets=outlets)
            ((node, side),) = readers
            begin = 0

    def _outlet(self, node: str, number: int, branch: Branch, path: tuple[str, ...], growing: _Growing) -> Outlet:
        """Where rows go to be measured: at once, or in a stage behind this one."""
        if branch.gather is None:
            return Outlet(None, self._measured(node, number, branch, path, growing))
        assert branch.gather.gather is not None
        columns = tuple(name for name in branch.gather.gather.sides[0].schema if name != ROW)
        sending = Sending(f"{node}.rules.{number}", node, 0, growing.index, path, (), columns)
        return Outlet(None, Stretch((), (), sending))

    def _measured(self, node: str, number: int, branch: Branch, path: tuple[str, ...], growing: _Growing) -> Stretch:
        audit = Audit(f"{node}.rules.{number}.measured", node, growing.index, path, (), branch.measures)
        return Stretch((), (), audit)

    def _outlets(self, compiled: LogicalNode, before: tuple[str, ...], growing: _Growing) -> Iterator[Outlet]:
        if not isinstance(compiled.node, BranchNode):
            for reader, side in self._readers.get(compiled.node.id, []):
                yield Outlet(None, self._grow(reader, 0, before, growing, side))
            return
        for position, route in enumerate(compiled.node.names):
            for reader, side in self._readers.get(f"{compiled.node.id}.{route}", []):
                yield Outlet(position, self._grow(reader, 0, before, growing, side))


def _leading(targets: Iterable[str], nodes: Mapping[str, LogicalNode]) -> set[str]:
    """The nodes that rows for these targets pass."""
    found: set[str] = set()
    pending = list(targets)
    while pending:
        if (node := pending.pop()) not in found:
            found.add(node)
            pending += [producer(reference) for reference in nodes[node].node.inputs]
    return found


def _behind(nodes: Iterable[str], ir: PipelineIR) -> set[str]:
    """All nodes that rows come to from these."""
    found = set(nodes)
    grown = True
    while grown:
        more = {node.id for node in ir.nodes if any(producer(each) in found for each in node.inputs)} - found
        found |= more
        grown = bool(more)
    return found


def _owning(trunk: Stretch) -> Stretch:
    """The tree with every node owned by the first sink below it."""
    owned: dict[str, list[str]] = {}
    for stretch in trunk:
        owned.setdefault(stretch.sinks[0].id, []).extend(stretch.nodes)

    def settled(stretch: Stretch) -> Stretch:
        outlets = tuple(replace(outlet, stretch=settled(outlet.stretch)) for outlet in stretch.outlets)
        sink = stretch.sink and replace(stretch.sink, owned=tuple(owned[stretch.sink.id]))
        return replace(stretch, sink=sink, outlets=outlets)

    return settled(trunk)


def _expected(stage: Stage) -> int:
    return stage.rows if stage.gathering is None else stage.gathering.rows
