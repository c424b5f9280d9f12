"""Start positions of sources that continue where the previous run ended."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.connections import connect, key_of
from headrace.connectors.postgresql.cursors import Moved, read_cursors
from headrace.connectors.postgresql.tables.describe import first_line
from headrace.connectors.source import Incremental, Position, Source
from headrace.flows.runtime.errors import PlanFailed
from headrace.flows.runtime.job import Job
from headrace.ir import PipelineIR, Problem
from headrace.ir.nodes import TargetNode


def begin_at_cursors(job: Job, ir: PipelineIR, sources: Mapping[str, Source]) -> None:
    """Sets the cursors of each incremental source. Raises PlanFailed if targets are at different positions, because a
    run that loaded into only some of them was neither retried nor completed."""
    incremental = {node: source for node, source in sources.items() if isinstance(source, Incremental)}
    if not incremental:
        return
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
    for node, source in incremental.items():
        mine = [each for each in moved if each.source_node == node and each.target_node in targets]
        # A run that continues after its ledger has its partitions already: they determine the targets' positions.
        source.begin_at(_positions(mine, check=job.continues.earlier_plan is None))


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
