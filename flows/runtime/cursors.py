"""Positions of sources that continue where the previous run ended: where they begin, and what they may forget."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import psycopg

from headrace.connectors.errors import SourceError, TargetError
from headrace.connectors.postgresql.connections import connect, key_of
from headrace.connectors.postgresql.cursors import Moved, read_cursors
from headrace.connectors.postgresql.tables.describe import first_line
from headrace.connectors.source import Acknowledging, Incremental, Position, Source
from headrace.flows.runtime.errors import PlanFailed
from headrace.flows.runtime.job import PLAN_RUN_ID, Job
from headrace.ir import PipelineIR, Problem
from headrace.ir.nodes import TargetNode


def begin_at_cursors(job: Job, ir: PipelineIR, sources: Mapping[str, Source]) -> None:
    """Sets the cursors of each incremental source. Raises PlanFailed if targets are at different positions, because a
    run that loaded into only some of them was neither retried nor completed."""
    incremental = {node: source for node, source in sources.items() if isinstance(source, Incremental)}
    if not incremental:
        return
    moved = _moved(job, ir)
    for node, source in incremental.items():
        mine = [each for each in moved if each.source_node == node]
        # A run that continues after its ledger has its partitions already: they determine the targets' positions.
        source.begin_at(_positions(mine, check=job.continues.earlier_plan is None))
        if isinstance(source, Acknowledging) and job.run_id != PLAN_RUN_ID and not job.continues.replays:
            source.acknowledge(_agreed(mine))


def acknowledge_cursors(job: Job, ir: PipelineIR, sources: Mapping[str, Source], log: Callable[[str], object]) -> None:
    """Reports to each acknowledging source how far its rows are committed for all targets. That only makes room: what
    fails is logged, and made up for by the next run."""
    acknowledging = {node: source for node, source in sources.items() if isinstance(source, Acknowledging)}
    if not acknowledging or job.continues.replays:
        return
    try:
        moved = _moved(job, ir)
        for node, source in acknowledging.items():
            mine = [each for each in moved if each.source_node == node]
            source.acknowledge(_agreed(mine))
    except (SourceError, TargetError) as error:
        log(f"What is loaded could not be acknowledged to its source, and the next run does so: {error}")


def _moved(job: Job, ir: PipelineIR) -> list[Moved]:
    """The cursors of the document's targets. Raises TargetError."""
    moved: list[Moved] = []
    databases = job.databases
    for database in databases.all:
        there = {node for node, each in databases.by_target.items() if key_of(each) == key_of(database)}
        try:
            with connect(database, autocommit=True) as connection:
                moved += [each for each in read_cursors(connection, job.pipeline.id) if each.target_node in there]
        except psycopg.Error as error:
            text = f"The cursors of the pipeline cannot be read: {first_line(error)}"
            raise TargetError("database_unavailable", text, "Nothing was changed; retry the run.") from error
    targets = {node.id for node in ir.nodes if isinstance(node, TargetNode)}
    return [each for each in moved if each.target_node in targets]


def _agreed(moved: list[Moved]) -> dict[str, Position]:
    """The positions that are the same for all targets."""
    differ = {one.name for one in moved for other in moved if one.name == other.name and one.position != other.position}
    return {each.name: each.position for each in moved if each.name not in differ}


def _positions(moved: list[Moved], *, check: bool) -> dict[str, Position]:
    found: dict[str, Moved] = {}
    for each in moved:
        first = found.setdefault(each.name, each)
        if check and first.position != each.position:
            message = (
                f"The source '{each.source_node}' is read up to {first.position} for {first.target_node} and up to "
                f"{each.position} for {each.target_node}, because {first.run_id} or {each.run_id} was not completed."
            )
            hint = "Retry that run, or set the cursors: `headrace cursors`, POST /pipelines/{id}/cursors."
            raise PlanFailed([Problem("nodes", "cursors_differ", message, hint)])
    return {name: each.position for name, each in found.items()}
