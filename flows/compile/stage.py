"""A stage: a tree of nodes that each partition passes in one go, from where its rows come from to where they end.

Fan-outs and branches fork a stage and do not end it: the source is read once. A stage ends where rows are loaded, and
where they are sent on, because something behind needs all that have equal keys; a stage of its own goes on there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import polars as pl

from connectors.base import Bound, Partition, Wanted
from flows.compile.dataset_rules.measure import Measure
from flows.compile.gather import Gather
from flows.compile.segment import Segment
from ir.nodes import SourceNode, TargetNode
from ir.schema import Schema


@dataclass(frozen=True, slots=True)
class Load:
    """The end of rows that are loaded. `number` counts the targets of a plan, `path` leads to it through its stage, and
    `owned` are the nodes that it accounts for: every node belongs to the first sink below it."""

    target: TargetNode
    number: int
    stage: int
    path: tuple[str, ...]
    owned: tuple[str, ...]
    columns: tuple[str, ...]
    root: str
    """The node that the stage's rows come from."""
    audited: bool = False
    """Whether dataset rules that may abort the run stand before it: nothing may be visible before they are judged."""
    added: Schema = ()
    """Columns that the table is given before the load."""
    private: frozenset[str] = frozenset()
    """The columns whose values must not be shown."""

    @property
    def id(self) -> str:
        """Its name in the ledger."""
        return self.target.id

    @property
    def publication_name(self) -> str:
        """What people see of the step that makes held back rows visible."""
        return f"{self.target.id}: publish"


@dataclass(frozen=True, slots=True)
class Sending:
    """The end of rows that are sent to the stage that gathers them, as one `side` of it. `node` is what gathers."""

    gathering: str
    node: str
    side: int
    stage: int
    path: tuple[str, ...]
    owned: tuple[str, ...]
    columns: tuple[str, ...]
    """Those that are sent."""

    @property
    def id(self) -> str:
        """Its name in the ledger; no node has a dot in its id."""
        return f"{self.gathering}.{self.side}"


@dataclass(frozen=True, slots=True)
class Audit:
    """The end of rows that are only measured, for the dataset rules of `node`: the same rows go on elsewhere."""

    id: str
    node: str
    stage: int
    path: tuple[str, ...]
    owned: tuple[str, ...]
    measures: tuple[Measure, ...]


Sink = Load | Sending | Audit


@dataclass(frozen=True, slots=True)
class Outlet:
    """Where rows go on behind a fork: those of one route of a branch (by its position), or all (None)."""

    route: int | None
    stretch: Stretch


@dataclass(frozen=True, slots=True)
class Stretch:
    """Nodes that rows pass one behind the other. At its end they are at a sink, or each goes on through `outlets`."""

    nodes: tuple[str, ...]
    segments: tuple[Segment, ...]
    sink: Sink | None = None
    outlets: tuple[Outlet, ...] = ()

    @property
    def forks(self) -> bool:
        """Whether a row may go on through several outlets; where it is only measured it does not go on."""
        onward = [outlet.route for outlet in self.outlets if not outlet.stretch.audits]
        return len(onward) > max(1, len({route for route in onward if route is not None}))

    @property
    def audits(self) -> bool:
        """Whether rows that come here are only measured, here or in a stage behind it."""
        return not self.nodes

    def __iter__(self) -> Iterator[Stretch]:
        """This one and all behind it."""
        yield self
        for outlet in self.outlets:
            yield from outlet.stretch

    @property
    def sinks(self) -> tuple[Sink, ...]:
        """The ends of all rows, in the order in which batches are offered to them."""
        return tuple(stretch.sink for stretch in self if stretch.sink is not None)

    @property
    def label(self) -> str:
        """`a → b → (c → d, e)`. The blanks are there because the timeline in Prefect's UI cannot draw the arrows."""
        shown = " → ".join(self.nodes)
        onward = [outlet.stretch.label for outlet in self.outlets if not outlet.stretch.audits]
        if not onward:
            return shown
        return f"{shown} → ({', '.join(onward)})" if len(onward) > 1 else f"{shown} → {onward[0]}"


@dataclass(frozen=True, slots=True)
class Gathering:
    """What the rows of a stage are made from: those that others sent. `id` is its name in the ledger and on disk."""

    id: str
    node: str
    label: str
    gather: Gather
    rows: int
    """So many at most are expected from the sources."""


@dataclass(frozen=True, slots=True)
class Stage:
    """`root` is a source, or what gathers rows that the stages `after` it sent. `schema` is what it gives.

    Of a gathering stage each partition is a bucket, and how many rows it has is only known when it is evaluated: its
    partitions have 0.
    """

    index: int
    root: SourceNode | Gathering
    trunk: Stretch
    schema: Schema
    partitions: tuple[Partition, ...]
    after: tuple[int, ...] = ()
    quarantine: Mapping[str, str] = field(default_factory=dict)
    """The quarantine table of each validate node that has one."""
    private: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The columns behind each node whose values must not be shown."""
    hidden: frozenset[str] = frozenset()
    """Those among the columns the root gives."""
    unread: pl.Schema = field(default_factory=pl.Schema)
    """Columns of `schema` that nothing behind the root needs, with their types: they are not read, or not gathered, and
    there without values."""
    bounds: tuple[Bound, ...] = ()
    """What is true of every row that the first filter keeps; a source may leave others unread."""
    bounded_by: str = ""
    """The node of that filter."""

    @property
    def source(self) -> SourceNode | None:
        """The source node, where the stage reads one."""
        return self.root if isinstance(self.root, SourceNode) else None

    @property
    def gathering(self) -> Gathering | None:
        """What the stage gathers, where it does."""
        return self.root if isinstance(self.root, Gathering) else None

    @property
    def wanted(self) -> Wanted:
        """What its source is asked for."""
        return Wanted(frozenset(each.name for each in self.schema if each.name not in self.unread), self.bounds)

    @property
    def root_node(self) -> str:
        """The node that the rows come from."""
        return self.root.id if isinstance(self.root, SourceNode) else self.root.node

    @property
    def nodes(self) -> tuple[str, ...]:
        """All nodes, those before others first."""
        return tuple(dict.fromkeys(node for stretch in self.trunk for node in stretch.nodes))

    @property
    def segments(self) -> tuple[Segment, ...]:
        """What is done to rows, in that order."""
        return tuple(segment for stretch in self.trunk for segment in stretch.segments)

    @property
    def sinks(self) -> tuple[Sink, ...]:
        """Where its rows end; a batch is offered to them in this order."""
        return self.trunk.sinks

    @property
    def loads(self) -> tuple[Load, ...]:
        """The targets among them."""
        return tuple(sink for sink in self.sinks if isinstance(sink, Load))

    @property
    def rows(self) -> int:
        """Source rows of all partitions."""
        return sum(partition.rows for partition in self.partitions)

    @property
    def name(self) -> str:
        """What people see."""
        if isinstance(self.root, Gathering) and self.trunk.audits:
            return f"{self.root.node}: {self.root.label}"
        return self.trunk.label

    @property
    def audits(self) -> bool:
        """Whether it only measures rows, for dataset rules."""
        return self.trunk.audits

    def task_name(self, partition: int) -> str:
        """The name of the Prefect task of one partition (its number counts from 1 for people)."""
        return f"{self.name} [{partition + 1}/{len(self.partitions)}]"
