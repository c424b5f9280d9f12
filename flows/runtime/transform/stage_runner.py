"""Runs a batch through a stage: to every sink, with its rejected cells and counts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import polars as pl

from headrace.connectors.source import ROW, Batch
from headrace.flows.compile.nodes.branch import ROUTE, taking
from headrace.flows.compile.stages.stage import Edge, NodeChain, ShuffleWrite, Stage
from headrace.flows.runtime.transform.row_counts import AccountingError, RowCounts
from headrace.flows.runtime.transform.segment_runner import Rejects, run_segment


@dataclass(slots=True)
class SinkBatch:
    """The input of one sink: rows, and the counts and rejected cells of the nodes that it owns."""

    frame: pl.DataFrame
    row_counts: RowCounts
    rejects: list[Rejects] = field(default_factory=list)


def run_batch(
    stage: Stage, batch: Batch, wanted: Collection[str], settled: Mapping[str, pl.Series] | None = None
) -> dict[str, SinkBatch]:
    """The batch at each sink, by the sink's id. Branches that lead only to sinks not in `wanted` are not run. `settled`
    are rows that a sink must not get: they take no path that leads to such sinks only."""
    empty = batch.frame.clear()
    arrived = {sink.id: SinkBatch(empty, RowCounts.of(sink.owned)) for sink in stage.sinks}
    _StageRun(stage, arrived, wanted, settled or {}).begin(batch)
    return arrived


@dataclass(frozen=True, slots=True)
class _StageRun:
    stage: Stage
    arrived: dict[str, SinkBatch]
    wanted: Collection[str]
    settled: Mapping[str, pl.Series]

    def begin(self, batch: Batch) -> None:
        owner, root = self._owner(self.stage.trunk), self.stage.root_node
        if not batch.rejects.is_empty():
            owner.row_counts.add(root, failed=batch.rejects.get_column("row").n_unique())
            owner.rejects.append(Rejects(root, batch.rejects))
        if batch.gone:
            owner.row_counts.add(root, skipped=batch.gone)
        if batch.unread:
            owner.row_counts.add(self.stage.bounded_by, skipped=batch.rows)
        self._pass(self.stage.trunk, batch.frame, batch.rows + batch.gone, 1)

    def _owner(self, node_chain: NodeChain) -> SinkBatch:
        return self.arrived[node_chain.sinks[0].id]

    def _pass(self, node_chain: NodeChain, frame: pl.DataFrame, rows_in: int, copies: int) -> None:
        owner = self._owner(node_chain)
        for segment in node_chain.segments:
            passed = run_segment(segment, frame, owner.row_counts)
            frame = passed.frame
            for found in passed.rejects:
                found.copies = copies
            owner.rejects += passed.rejects
            copies *= segment.steps[-1].copies
        frame = self._going_on(node_chain, frame, owner)
        routes = {edge.route: taking(frame, edge.route) for edge in node_chain.edges}
        height = frame.height
        if ROUTE in frame.columns:
            height = sum(part.height for part in routes.values())
            owner.row_counts.add(node_chain.nodes[-1], skipped=frame.height - height)
        begun = self.stage.root_node if self.stage.exchange is not None else ""
        goes_on = node_chain.sink.node if isinstance(node_chain.sink, ShuffleWrite) else ""
        if (left := owner.row_counts.settle(node_chain.nodes, rows_in, begun=begun, goes_on=goes_on)) != height:
            raise AccountingError(f"{self.stage.name}: {left:,} rows should be left of a batch, not {height:,}")
        if node_chain.sink is not None:
            self.arrived[node_chain.sink.id].frame = frame
        for edge in node_chain.edges:
            if any(sink.id in self.wanted for sink in edge.node_chain.sinks):
                part = routes[edge.route]
                if (settled := self._settled(edge)) is not None:
                    part = part.filter(~settled)
                self._pass(edge.node_chain, part, part.height, copies)

    def _going_on(self, node_chain: NodeChain, frame: pl.DataFrame, owner: SinkBatch) -> pl.DataFrame:
        """Without the rows that are settled on every way that they would take here; they are counted as skipped."""
        settled = [self._settled(edge) for edge in node_chain.edges]
        if all(each is None for each in settled):
            return frame
        ways = [
            (pl.lit(True) if shut is None else ~shut)
            & (pl.lit(True) if edge.route is None else (pl.col(ROUTE) == edge.route).fill_null(False))
            for edge, shut in zip(node_chain.edges, settled, strict=True)
        ]
        going = frame.filter(pl.any_horizontal(ways))
        owner.row_counts.add(node_chain.nodes[-1], skipped=frame.height - going.height)
        return going

    def _settled(self, edge: Edge) -> pl.Expr | None:
        """Whether a row is settled at all sinks downstream of the edge; None where none is."""
        found = [self.settled.get(sink.id) for sink in edge.node_chain.sinks]
        shut = [pl.col(ROW).is_in(rows.implode()) for rows in found if rows is not None]
        return pl.all_horizontal(shut) if shut and len(shut) == len(found) else None
