"""A stage: a tree of nodes that each partition runs through in one pass, from its root to its sinks.

Fan-outs and branches fork a stage and do not end it: the source is read once. A stage ends where rows are loaded, and
where a downstream node needs all rows with equal keys: there rows are sent to another stage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

import polars as pl

from headrace.connectors.source import Bound, Partition, Passed, Wanted
from headrace.flows.compile.dataset_rules.measure import Measure
from headrace.flows.compile.shuffle import Shuffle
from headrace.flows.compile.stages.segment import Segment
from headrace.ir.nodes import SourceNode, TargetNode
from headrace.ir.schema import Schema


@dataclass(frozen=True, slots=True)
class Load:
    """A sink that loads rows into a target. `number` counts the targets of a plan, `path` are the nodes of the stage
    that lead to it, and `owned` are the nodes whose rows it counts: every node belongs to its first downstream sink."""

    target: TargetNode
    number: int
    stage: int
    path: tuple[str, ...]
    owned: tuple[str, ...]
    columns: tuple[str, ...]
    root: str
    """The node that the stage's rows come from."""
    audited: bool = False
    """Whether dataset rules that may abort the run are upstream: rows may not be visible before they are checked."""
    added: Schema = ()
    """Columns that are added to the table before the load."""
    private: frozenset[str] = frozenset()
    """The columns whose values must not be shown."""
    cells: Mapping[str, str] = field(default_factory=dict)
    """The columns that hold cells of a source column → that source column."""

    @property
    def id(self) -> str:
        """Its name in the ledger."""
        return self.target.id

    @property
    def publication_name(self) -> str:
        """The displayed name of the step that makes held back rows visible."""
        return f"{self.target.id}: publish"


@dataclass(frozen=True, slots=True)
class ShuffleWrite:
    """A sink that sends rows to the stage that gathers them, as one `side` of it. `node` is the node that gathers."""

    exchange: str
    node: str
    side: int
    stage: int
    path: tuple[str, ...]
    owned: tuple[str, ...]
    columns: tuple[str, ...]
    """The columns that are sent."""

    @property
    def id(self) -> str:
        """Its name in the ledger; no node has a dot in its id."""
        return f"{self.exchange}.{self.side}"


@dataclass(frozen=True, slots=True)
class Audit:
    """A sink that measures rows for the dataset rules of `node`; the same rows also go to other sinks."""

    id: str
    node: str
    stage: int
    path: tuple[str, ...]
    owned: tuple[str, ...]
    measures: tuple[Measure, ...]


Sink = Load | ShuffleWrite | Audit


@dataclass(frozen=True, slots=True)
class Edge:
    """One output of a fork: the rows of one route of a branch (by its position), or all rows (None)."""

    route: int | None
    node_chain: NodeChain


@dataclass(frozen=True, slots=True)
class NodeChain:
    """Nodes that rows pass one after another. It ends in a sink, or forks into `edges`."""

    nodes: tuple[str, ...]
    segments: tuple[Segment, ...]
    sink: Sink | None = None
    edges: tuple[Edge, ...] = ()

    def copies_to(self, sink: str) -> int:
        """How many rows at most are made of each on the way to a sink."""
        made = prod(step.copies for segment in self.segments for step in segment.steps)
        if self.sink is not None and self.sink.id == sink:
            return made
        edge = next(each for each in self.edges if any(end.id == sink for end in each.node_chain.sinks))
        return made * edge.node_chain.copies_to(sink)

    @property
    def forks(self) -> bool:
        """Whether a row may take several edges; those that only measure do not count."""
        onward = [edge.route for edge in self.edges if not edge.node_chain.audits]
        return len(onward) > max(1, len({route for route in onward if route is not None}))

    @property
    def audits(self) -> bool:
        """Whether its rows are only measured, here or in a later stage."""
        return not self.nodes

    def __iter__(self) -> Iterator[NodeChain]:
        """This one and all downstream."""
        yield self
        for edge in self.edges:
            yield from edge.node_chain

    @property
    def sinks(self) -> tuple[Sink, ...]:
        """All sinks, in the order in which they get a batch."""
        return tuple(node_chain.sink for node_chain in self if node_chain.sink is not None)

    @property
    def label(self) -> str:
        """`a > b > (c > d, e)`, in ASCII: one of Prefect's UIs leaves other characters out of the graph of a run."""
        shown = " > ".join(self.nodes)
        onward = [edge.node_chain.label for edge in self.edges if not edge.node_chain.audits]
        if not onward:
            return shown
        return f"{shown} > ({', '.join(onward)})" if len(onward) > 1 else f"{shown} > {onward[0]}"


@dataclass(frozen=True, slots=True)
class ShuffleRead:
    """The root of a stage whose rows are made from rows that other stages sent. `id` is its name in the ledger and on
    disk."""

    id: str
    node: str
    label: str
    shuffle: Shuffle
    sent: tuple[int, ...] = ()
    """The most rows that are expected from each side, as the sources count them."""

    @property
    def rows(self) -> int:
        """The most rows that are expected."""
        return sum(self.sent)


@dataclass(frozen=True, slots=True)
class PassedThrough:
    """Rows that nothing between the source and the one target looks at. `rows` is how the source gives them: its
    columns are in the order of the target's, and so are the `types`, as PostgreSQL writes them."""

    rows: Passed
    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """`root` is a source, or gathers the rows that the stages in `after` sent. `schema` are the columns of the root.

    Each partition of a shuffle stage is a bucket. Its number of rows is only known once it is evaluated, so its
    partitions have 0.
    """

    index: int
    root: SourceNode | ShuffleRead
    trunk: NodeChain
    schema: Schema
    partitions: tuple[Partition, ...]
    after: tuple[int, ...] = ()
    quarantine: Mapping[str, str] = field(default_factory=dict)
    """The quarantine table of each validate node that has one."""
    private: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By node, the output columns whose values must not be shown."""
    hidden: frozenset[str] = frozenset()
    """The columns of `schema` whose values must not be shown."""
    unread: pl.Schema = field(default_factory=pl.Schema)
    """Columns of `schema` that nothing downstream needs, with their types: they are not read, or not gathered, and are
    null."""
    bounds: tuple[Bound, ...] = ()
    """Conditions that hold for every row that the first filter keeps; a source may skip other rows."""
    bounded_by: str = ""
    """The node of that filter; empty without bounds."""
    passed: PassedThrough | None = None
    """Set where rows go from the source to the target as they are; see `flows.compile.pass_through`."""

    @property
    def source(self) -> SourceNode | None:
        """The source node; None for a stage that gathers."""
        return self.root if isinstance(self.root, SourceNode) else None

    @property
    def exchange(self) -> ShuffleRead | None:
        """The shuffle that the stage reads; None for a stage that reads a source."""
        return self.root if isinstance(self.root, ShuffleRead) else None

    @property
    def wanted(self) -> Wanted:
        """The columns and bounds that it requests from its source."""
        if self.passed is not None:
            return Wanted(frozenset(self.passed.rows.columns), passed=self.passed.rows)
        return Wanted(frozenset(each.name for each in self.schema if each.name not in self.unread), self.bounds)

    @property
    def root_node(self) -> str:
        """The node that the rows come from."""
        return self.root.id if isinstance(self.root, SourceNode) else self.root.node

    @property
    def nodes(self) -> tuple[str, ...]:
        """All nodes, upstream first."""
        return tuple(dict.fromkeys(node for node_chain in self.trunk for node in node_chain.nodes))

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All segments, in the order of `nodes`."""
        return tuple(segment for node_chain in self.trunk for segment in node_chain.segments)

    @property
    def sinks(self) -> tuple[Sink, ...]:
        """All sinks, in the order in which they get a batch."""
        return self.trunk.sinks

    @property
    def loads(self) -> tuple[Load, ...]:
        """The sinks that load targets."""
        return tuple(sink for sink in self.sinks if isinstance(sink, Load))

    @property
    def rows(self) -> int:
        """Source rows of all partitions."""
        return sum(partition.rows for partition in self.partitions)

    @property
    def counted(self) -> bool:
        """Whether its source knows its number of rows; else `rows` is an estimate."""
        return all(partition.counted for partition in self.partitions)

    @property
    def name(self) -> str:
        """The displayed name."""
        if isinstance(self.root, ShuffleRead) and self.trunk.audits:
            return f"{self.root.node}: {self.root.label}"
        return self.trunk.label

    @property
    def audits(self) -> bool:
        """Whether it only measures rows for dataset rules."""
        return self.trunk.audits

    def task_name(self, partition: int) -> str:
        """The name of the Prefect task of a partition. `partition` counts from 0, the name from 1."""
        return f"{self.name} [{partition + 1}/{len(self.partitions)}]"
