"""Rows that a load mode held back become visible: one publication of one target, counted like a partition."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.base import Published, Resume
from connectors.postgresql.modes import LoadMode
from flows.compile import Load
from flows.compile.private import masked_cells
from flows.runtime.journal import Journal
from flows.runtime.limits import ErrorBudget
from flows.runtime.tally import Tally


@dataclass(frozen=True, slots=True)
class Publication:
    """What one publication needs. `index` counts those of its target from 0."""

    load: Load
    index: int
    mode: LoadMode
    journal: Journal
    budget: ErrorBudget

    @property
    def number(self) -> int:
        """The stage under which the catalog counts it: below zero, apart from what reads rows."""
        return -1 - self.load.number


def run_publication(work: Publication) -> Resume:
    """Publishes; gives the ledger row as committed: no rows read, those that are in the table now, and what became of
    the others. Raises TargetError or RunFailed with a text for people."""
    target = work.load.target.id

    def on_publish(published: Published) -> Resume:
        rejects = published.rejects
        failed = rejects.select("partition", "row").n_unique() if rejects.height else 0
        for (partition,), cells in rejects.group_by("partition", maintain_order=True):
            told = masked_cells(cells.drop("partition"), work.load.private)
            work.journal.rejected(work.load.stage, int(str(partition)), target, told, warning=False)
        work.budget.record((work.number, work.index), failed, 0)
        if published.note is not None:
            work.journal.log("load", f"{target}: {published.note}")
        tally = Tally.of([target])
        tally.add(target, rowsOut=published.loaded, failed=failed, skipped=published.skipped)
        return Resume(
            rows_loaded=published.loaded, rows_failed=failed, rows_skipped=published.skipped, counters=tally.nodes
        )

    work.journal.progress(work.number, work.index, "running", Resume())
    try:
        done = work.mode.publish(work.load.stage, work.index, on_publish)
    except BaseException:
        work.journal.progress(work.number, work.index, "failed", Resume())
        raise
    work.journal.progress(work.number, work.index, "completed", done)
    return done
