"""A retry that stages again what a dataset rule held back: first what is there of it goes."""

from __future__ import annotations

from connectors.postgresql.leftovers import drop_staged
from flows.runtime.job import Job
from flows.runtime.journal import Journal


def make_way(job: Job, journal: Journal) -> None:
    """Drops what the attempts before have staged, where the run stages anew, and does nothing in any other.

    Between planning the run and storing its plan: whoever finds a stored plan takes what is staged to be counted by
    it, and one that died before has left the plan of the attempt before in force. Raises TargetError.
    """
    if not job.continues.anew:
        return
    dropped = drop_staged(job.database_url, job.root_run_id, job.continues.quarantines)
    staged = f" (dropped: {', '.join(dropped)})" if dropped else ""
    journal.log(
        "run",
        "A dataset rule held back every row of the attempt before: all are read again and judged by IR version "
        f"{job.pipeline.ir_version}{staged}",
    )
