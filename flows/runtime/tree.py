"""A batch on its way through a stage: to every sink with what was found out about it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import polars as pl

from connectors.base import Batch
from flows.compile.branch import ROUTE, taking
from flows.compile.stage import Outlet, Sending, Stage, Stretch
from flows.runtime.sieve import Rejects, sieve
from flows.runtime.tally import AccountingError, Tally


@dataclass(slots=True)
class Arrived:
    """What comes to one sink: rows, and the counts and rejected cells of the nodes that it owns."""

    frame: pl.DataFrame
    tally: Tally
    rejects: list[Rejects] = field(default_factory=list)


def pass_through(stage: Stage, batch: Batch, wanted: Collection[str]) -> dict[str, Arrived]:
    """The batch at each sink, by the sink's id. What only leads to sinks that are not `wanted` is not done."""
    empty = batch.frame.clear()
    arrived = {sink.id: Arrived(empty, Tally.of(sink.owned)) for sink in stage.sinks}
    _Passing(stage, arrived, wanted).begin(batch)
    return arrived


@dataclass(frozen=True, slots=True)
class _Passing:
    stage: Stage
    arrived: dict[str, Arrived]
    wanted: Collection[str]

    def begin(self, batch: Batch) -> None:
        owner, root = self._owner(self.stage.trunk), self.stage.root_node
        if not batch.rejects.is_empty():
            owner.tally.add(root, failed=batch.rejects.get_column("row").n_unique())
            owner.rejects.append(Rejects(root, batch.rejects))
        if batch.gone:
            owner.tally.add(root, skipped=batch.gone)
        if batch.unread:
            owner.tally.add(self.stage.bounded_by, skipped=batch.rows)
        self._pass(self.stage.trunk, batch.frame, batch.rows + batch.gone, 1)

    def _owner(self, stretch: Stretch) -> Arrived:
        return self.arrived[stretch.sinks[0].id]

    def _pass(self, stretch: Stretch, frame: pl.DataFrame, rows_in: int, copies: int) -> None:
        owner = self._owner(stretch)
        for segment in stretch.segments:
            sieved = sieve(segment, frame, owner.tally)
            frame = sieved.frame
            for found in sieved.rejects:
                found.copies = copies
            owner.rejects += sieved.rejects
            copies *= segment.steps[-1].copies
        parts = list(_parts(stretch.outlets, frame))
        height = frame.height
        if ROUTE in frame.columns:
            height = sum({outlet.route: part.height for outlet, part in parts}.values())
            owner.tally.add(stretch.nodes[-1], skipped=frame.height - height)
        begun = self.stage.root_node if self.stage.gathering is not None else ""
        goes_on = stretch.sink.node if isinstance(stretch.sink, Sending) else ""
        if (left := owner.tally.settle(stretch.nodes, rows_in, begun=begun, goes_on=goes_on)) != height:
            raise AccountingError(f"{self.stage.name}: {left:,} rows should be left of a batch, not {height:,}")
        if stretch.sink is not None:
            self.arrived[stretch.sink.id].frame = frame
        for outlet, part in parts:
            if any(sink.id in self.wanted for sink in outlet.stretch.sinks):
                self._pass(outlet.stretch, part, part.height, copies)


def _parts(outlets: tuple[Outlet, ...], frame: pl.DataFrame) -> Iterator[tuple[Outlet, pl.DataFrame]]:
    routes = {outlet.route: taking(frame, outlet.route) for outlet in outlets}
    for outlet in outlets:
        yield outlet, routes[outlet.route]
