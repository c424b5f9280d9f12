"""Publication: makes rows visible that a load mode held back. Each publication is counted like a partition."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.connectors.postgresql.modes import LoadMode
from headrace.connectors.target import Published, Resume
from headrace.flows.compile import Load, Stage
from headrace.flows.compile.masking import masked_cells
from headrace.flows.runtime.limits import ErrorBudget
from headrace.flows.runtime.run_recorder import RunRecorder
from headrace.flows.runtime.transform.rejected_cells import RowOrigins
from headrace.flows.runtime.transform.row_counts import KEPT_OUT, RowCounts


@dataclass(frozen=True, slots=True)
class Publication:
    """One publication of a target. `index` numbers the publications of a target from 0."""

    load: Load
    index: int
    mode: LoadMode
    recorder: RunRecorder
    budget: ErrorBudget
    stage: Stage
    row_origins: RowOrigins

    @property
    def number(self) -> int:
        """The stage number in the catalog: negative, to distinguish publications from stages that read rows."""
        return -1 - self.load.number


def run_publication(work: Publication) -> Resume:
    """Publishes the rows and returns the committed counts: no rows read, and the rows loaded, failed and skipped.
    Raises TargetError or RunFailed."""
    target = work.load.target.id

    def on_publish(published: Published) -> Resume:
        rejects = published.rejects
        failed = rejects.select("partition", "row").n_unique() if rejects.height else 0
        for (partition,), cells in rejects.group_by("partition", maintain_order=True):
            described = masked_cells(cells.drop("partition"), work.load.private)
            described = work.row_origins.described(
                work.stage, described, copies=work.stage.trunk.copies_to(work.load.id)
            )
            work.recorder.rejected(work.load.stage, int(str(partition)), target, described, warning=False)
        work.budget.record((work.number, work.index), failed, 0)
        if published.note is not None:
            work.recorder.log("load", f"{target}: {published.note}")
        row_counts = RowCounts.of([target])
        row_counts.add(target, rowsOut=published.loaded, failed=failed, skipped=published.skipped)
        if published.kept_out:
            row_counts.add(target, **{KEPT_OUT: published.kept_out})
        return Resume(
            rows_loaded=published.loaded, rows_failed=failed, rows_skipped=published.skipped, counters=row_counts.nodes
        )

    work.recorder.progress(work.number, work.index, "running", Resume())
    try:
        done = work.mode.publish(work.load.stage, work.index, on_publish)
    except BaseException:
        work.recorder.progress(work.number, work.index, "failed", Resume())
        raise
    work.recorder.progress(work.number, work.index, "completed", done)
    return done
