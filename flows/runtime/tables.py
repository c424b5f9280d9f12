"""The tables of a run before its rows come and behind them: new columns, a copy of what is there, what is told."""

from __future__ import annotations

from connectors.postgresql.backup import back_up
from flows.compile.stage import Load
from flows.runtime.evolve import evolve
from flows.runtime.hooks import LoadedRows
from flows.runtime.job import Prepared
from flows.runtime.journal import Journal
from flows.runtime.tally import DISCARDED, UNANSWERED, Tally


def ready_tables(prepared: Prepared, journal: Journal) -> None:
    """Gives every table its new columns and keeps a copy of those that want one. Raises RunFailed and TargetError."""
    for load in prepared.plan.loads:
        job, table = prepared.job, load.target.table
        if load.added and (added := evolve(job, table, load.added)):
            journal.log("load", f"{table}: added column{'s' * (len(added) > 1)} {', '.join(added)}")
        if load.target.backup_before_load:
            backup = back_up(job.database_url, table, job.root_run_id)
            made = "kept by an earlier attempt" if backup.rows is None else f"{backup.rows:,} rows kept"
            gone = f"; dropped {', '.join(backup.dropped)}" if backup.dropped else ""
            journal.log("load", f"{table}: {made} in {backup.table}{gone}")


def loaded_rows(prepared: Prepared, counted: Tally) -> dict[str, LoadedRows]:
    """The rows of every target by its id, from the counters of the nodes on the way to it."""
    return {load.target.id: _loaded(load, counted) for load in prepared.plan.loads}


def tell_discarded(prepared: Prepared, journal: Journal, counted: Tally) -> None:
    """A line for each table that lacks columns for which rows were skipped."""
    for load in prepared.plan.loads:
        counters = counted.nodes.get(load.target.id, {})
        columns = [f"{key.removeprefix(DISCARDED)} ({n:,})" for key, n in counters.items() if key.startswith(DISCARDED)]
        if columns:
            skipped = f"rows skipped for a value in a column that the table lacks: {', '.join(sorted(columns))}"
            journal.log("load", f"{load.target.table}: {skipped}")


def tell_unanswered(prepared: Prepared, journal: Journal, counted: Tally) -> None:
    """A line for each node that left rows without an answer that there should have been."""
    for node, counters in counted.nodes.items():
        if count := counters.get(UNANSWERED, 0):
            reason = prepared.outside.reasons.get(node)
            told = f"; the last time, because {reason}" if reason else ""
            journal.log("transform", f"{node}: {count:,} rows have null, because there was no answer for them{told}")


def _loaded(load: Load, counted: Tally) -> LoadedRows:
    nodes = [counted.nodes.get(node, {}) for node in load.path]
    return LoadedRows(
        read=nodes[0].get("rowsIn", 0),
        loaded=nodes[-1].get("rowsOut", 0),
        failed=sum(node.get("failed", 0) for node in nodes),
        skipped=sum(node.get("skipped", 0) for node in nodes),
    )
