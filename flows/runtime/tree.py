"""A batch on its way through a stage: to every sink with what was found out about it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import polars as pl

from connectors.base import ROW, Batch
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


def pass_through(
    stage: Stage, batch: Batch, wanted: Collection[str], settled: Mapping[str, pl.Series] | None = None
) -> dict[str, Arrived]:
    """The batch at each sink, by the sink's id. What only leads to sinks that are not `wanted` is not done. `settled`
    are rows that a sink must not be given: they take no way that leads to such sinks only."""
    empty = batch.frame.clear()
    arrived = {sink.id: Arrived(empty, Tally.of(sink.owned)) for sink in stage.sinks}
    _Passing(stage, arrived, wanted, settled or {}).begin(batch)
    return arrived


@dataclass(frozen=True, slots=True)
class _Passing:
    stage: Stage
    arrived: dict[str, Arrived]
    wanted: Collection[str]
    settled: Mapping[str, pl.Series]

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
        frame = self._going_on(stretch, frame, owner)
        routes = {outlet.route: taking(frame, outlet.route) for outlet in stretch.outlets}
        height = frame.height
        if ROUTE in frame.columns:
            height = sum(part.height for part in routes.values())
            owner.tally.add(stretch.nodes[-1], skipped=frame.height - height)
        begun = self.stage.root_node if self.stage.gathering is not None else ""
        goes_on = stretch.sink.node if isinstance(stretch.sink, Sending) else ""
        if (left := owner.tally.settle(stretch.nodes, rows_in, begun=begun, goes_on=goes_on)) != height:
            raise AccountingError(f"{self.stage.name}: {left:,} rows should be left of a batch, not {height:,}")
        if stretch.sink is not None:
            self.arrived[stretch.sink.id].frame = frame
        for outlet in stretch.outlets:
            if any(sink.id in self.wanted for sink in outlet.stretch.sinks):
                part = routes[outlet.route]
                if (settled := self._settled(outlet)) is not None:
                    part = part.filter(~settled)
                self._pass(outlet.stretch, part, part.height, copies)

    def _going_on(self, stretch: Stretch, frame: pl.DataFrame, owner: Arrived) -> pl.DataFrame:
        """Without the rows that are settled on every way that they would take here; they are counted as skipped."""
        settled = [self._settled(outlet) for outlet in stretch.outlets]
        if all(each is None for each in settled):
            return frame
        ways = [
            (pl.lit(True) if shut is None else ~shut)
            & (pl.lit(True) if outlet.route is None else (pl.col(ROUTE) == outlet.route).fill_null(False))
            for outlet, shut in zip(stretch.outlets, settled, strict=True)
        ]
        going = frame.filter(pl.any_horizontal(ways))
        owner.tally.add(stretch.nodes[-1], skipped=frame.height - going.height)
        return going

    def _settled(self, outlet: Outlet) -> pl.Expr | None:
        """Whether a row is settled at all sinks behind the outlet; None where none is."""
        found = [self.settled.get(sink.id) for sink in outlet.stretch.sinks]
        shut = [pl.col(ROW).is_in(rows.implode()) for rows in found if rows is not None]
        return pl.all_horizontal(shut) if shut and len(shut) == len(found) else None
