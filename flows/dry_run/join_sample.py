"""Selects the rows of a join's right side that match a sample of its left side, so that a preview shows joined rows.

The right side is read batch by batch, within a time limit, and rows whose keys are in the sample are kept. When a node
before the join combines rows (`deduplicate`, `aggregate`, another join), a larger sample of its sources is read
instead.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from headrace.connectors.source import ROW, Discovery, Source
from headrace.flows.compile.logical_node import LogicalNode
from headrace.flows.compile.nodes.branch import taking
from headrace.flows.compile.shuffle import ShuffleSide
from headrace.flows.compile.stages.segment import fuse
from headrace.flows.runtime.transform.row_counts import RowCounts
from headrace.flows.runtime.transform.segment_runner import run_segment
from headrace.ir import PipelineIR
from headrace.ir.nodes import BranchNode, JoinNode, SourceNode, producer

MAX_SECONDS = 5.0
"""The maximum time in seconds for reading a right side."""
MAX_MATCHING_ROWS = 5_000
"""The maximum number of rows kept of a right side."""
DEEP_SAMPLE_ROWS = 50_000
"""The number of rows read of each source when a node before the join combines rows."""


@dataclass(frozen=True, slots=True)
class RightSide:
    """The path of a join's right side: the nodes from a source to the join, as references (`parts.big` for a route),
    all of which process rows one by one. `own`: no other node reads them."""

    path: tuple[str, ...]
    own: bool

    @property
    def source(self) -> str:
        """Its source node."""
        return producer(self.path[0])


@dataclass(frozen=True, slots=True)
class MatchingRows:
    """The readable rows of a right side's source that match the sample's keys, and a note about how many were read."""

    frame: pl.DataFrame
    note: str | None


def sample_order(ir: PipelineIR, nodes: Mapping[str, LogicalNode]) -> list[str]:
    """The compiled nodes in topological order, with the left side of a join before its right side."""
    inputs = {node.id: [producer(each) for each in node.inputs] for node in ir.nodes if node.id in nodes}
    rights = [inputs[node.id][1] for node in ir.nodes if isinstance(node, JoinNode) and node.id in nodes]
    found: dict[str, None] = {}
    # Nodes that only lead to a right side are reached from the join, after the left side.
    right_inputs = {right for join in rights for right in _before(join, inputs)}
    pending = [*(node for node in nodes if node not in right_inputs), *nodes]
    for begin in pending:
        stack = [(begin, False)]
        while stack:
            node, ready = stack.pop()
            if ready:
                found.setdefault(node)
            elif node not in found:
                stack.append((node, True))
                stack += [(each, False) for each in reversed(inputs[node])]
    return [*found]


def right_side(ir: PipelineIR, nodes: Mapping[str, LogicalNode], join: JoinNode) -> RightSide | None:
    """The path of a join's right side; None when a node on it combines rows."""
    path: list[str] = [join.inputs[1]]
    while True:
        node = nodes[producer(path[0])]
        if any(step.shuffle is not None for step in node.steps) or isinstance(node.node, JoinNode):
            return None
        if isinstance(node.node, SourceNode):
            break
        path.insert(0, node.node.inputs[0])
    readers = [reference for each in ir.nodes for reference in each.inputs]
    names = {producer(each) for each in path}
    return RightSide(tuple(path), sum(producer(each) in names for each in readers) == len(path))


def deep_sample_sources(ir: PipelineIR, nodes: Mapping[str, LogicalNode]) -> frozenset[str]:
    """The sources of which more rows are read: they only lead to right sides where a node combines rows."""
    inputs = {node.id: [producer(each) for each in node.inputs] for node in ir.nodes}
    joins = [node for node in ir.nodes if isinstance(node, JoinNode) and node.id in nodes]
    lefts = {name for join in joins for name in _before(inputs[join.id][0], inputs)}
    gathered = {
        name for join in joins if right_side(ir, nodes, join) is None for name in _before(inputs[join.id][1], inputs)
    }
    return frozenset(name for name in gathered - lefts if isinstance(nodes[name].node, SourceNode))


def matching_rows(
    nodes: Mapping[str, LogicalNode],
    side: RightSide,
    keys: Sequence[ShuffleSide],
    left: pl.DataFrame,
    source: Source,
    found: Discovery,
) -> MatchingRows:
    """Reads the rows of the source that match a row of `left` in the join with these keys. Raises SourceError."""
    names = [f"k{number}" for number in range(len(keys[0].keys))]
    wanted = left.select(key.alias(name) for key, name in zip(keys[0].keys, names, strict=True)).unique().drop_nulls()
    kept: list[pl.DataFrame] = []
    looked, count, until, whole = 0, 0, time.monotonic() + MAX_SECONDS, False
    for batch in _batches(source, found):
        looked += batch.height
        if wanted.is_empty():
            break
        arrived, copies = run_path(nodes, side.path, batch)
        ours = [ROW, *(key.alias(name) for key, name in zip(keys[1].keys, names, strict=True))]
        meeting = arrived.select(ours).join(wanted, on=names, how="semi").get_column(ROW)
        kept.append(batch.filter(pl.col(ROW).is_in(((meeting - 1) // copies + 1).implode())))
        count += kept[-1].height
        if count >= MAX_MATCHING_ROWS or time.monotonic() > until:
            break
    else:
        whole = True
    whole = whole or looked >= found.total_rows or wanted.is_empty()
    about = "" if found.counted else "about "
    of_all = f"{looked:,} of {about}{found.total_rows:,} rows"
    note = f"of '{side.source}' the first {of_all} were searched for the sample's keys"
    frame = pl.concat(kept).head(MAX_MATCHING_ROWS) if kept else _no_rows(nodes[side.source])
    return MatchingRows(frame, None if whole else note)


def only_matching(frames: Sequence[pl.DataFrame], sides: Sequence[ShuffleSide]) -> list[pl.DataFrame]:
    """Both sides of a join, the right side without rows that match no row of the left side."""
    left, right = frames
    names = [f"__k{number}" for number in range(len(sides[0].keys))]
    wanted = left.select(key.alias(name) for key, name in zip(sides[0].keys, names, strict=True)).unique()
    keyed = right.with_columns(key.alias(name) for key, name in zip(sides[1].keys, names, strict=True))
    return [left, keyed.join(wanted, on=names, how="semi", maintain_order="left").drop(names)]


def _batches(source: Source, found: Discovery) -> Iterator[pl.DataFrame]:
    for partition in found.partitions:
        for batch in source.read(partition, found.schema):
            yield batch.frame


def run_path(nodes: Mapping[str, LogicalNode], path: Sequence[str], frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Runs a batch of the source through the path; returns the frame and the number of rows made of each row."""
    copies = 1
    for reference in path:
        node = nodes[producer(reference)]
        for segment in fuse(node.steps):
            frame = run_segment(segment, frame, RowCounts.of([node.node.id])).frame
            copies *= segment.steps[-1].copies
        if isinstance(node.node, BranchNode):
            frame = taking(frame, node.node.names.index(reference.partition(".")[2]))
    return frame, copies


def _no_rows(node: LogicalNode) -> pl.DataFrame:
    return pl.DataFrame(schema=node.schema)


def _before(node: str, inputs: Mapping[str, Sequence[str]]) -> set[str]:
    """A node and all nodes that lead to it."""
    found: set[str] = set()
    pending = [node]
    while pending:
        if (name := pending.pop()) not in found:
            found.add(name)
            pending += inputs[name]
    return found
